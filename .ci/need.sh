# For the scripts beside it, which source it: installing what is missing.

PATH=$PATH:/usr/sbin:/sbin # where Debian keeps servers, which users' PATH leaves out

say() { printf '\n== %s\n' "$*"; }

need() { # COMMAND PACKAGE…: install packages where a command is missing
	command -v "$1" >/dev/null && return
	say "installing ${*:2}"
	local sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	[ -n "${apt_updated:-}" ] || { $sudo apt-get update -qq; export apt_updated=1; }
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${@:2}" >/dev/null
}
