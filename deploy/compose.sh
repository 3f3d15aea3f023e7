# For the scripts beside it, which source it.

# compose is docker compose 2, or docker-compose 1.29.
compose() {
	if docker compose version >/dev/null 2>&1; then
		docker compose "$@"
	else
		docker-compose "$@"
	fi
}

# compose_project is the name that compose gives to this folder's project.
compose_project() {
	local name
	name=$(basename "$PWD")
	echo "${COMPOSE_PROJECT_NAME:-$(tr '[:upper:]' '[:lower:]' <<<"$name" | tr -cd 'a-z0-9_-')}"
}
