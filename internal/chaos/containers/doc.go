// Package containers does a run of chaos to docker-compose.yml as people run it: two proxies, three servers and two MySQL, each
// a container, and clients in containers with addresses of their own. `make chaos-compose` runs its test, [compose.yml] says
// what is different from `make up`.
//
// Faults are done with the engine's commands and, inside a container's network, with iptables: so the driver needs to be root
// or to have sudo, on the machine of the engine. Nothing of the host's own network is touched.
//
// [compose.yml]: compose.yml
package containers
