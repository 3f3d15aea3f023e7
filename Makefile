# What people and CI run. Everything that is built goes to .build/.

GO ?= go
BUILD := .build

# The race detector needs a C compiler. Without one the tests run all the same, and say so.
CC_FOUND := $(shell command -v $$($(GO) env CC) 2>/dev/null)
RACE := $(if $(CC_FOUND),-race)

# More flags for go test, such as GOTESTFLAGS='-count=2 -run Ring'.
GOTESTFLAGS ?=

# For make chaos and make chaos-compose, such as CHAOS='--seconds 600 --seed 7 --faults kill,stop-mysql'.
CHAOS ?= --seconds 60
CHAOS_RUN ?= ^TestChaos$$

# What is measured, such as BENCH='--rounds 1 --seconds 0.5' BENCH_RUN=TestBench/polls.
BENCH ?=
BENCH_RUN ?= ^TestBench$$

.PHONY: build test lint bench bench-all microbench chaos chaos-compose images up down clean

build: ## the binary, static, in .build/multichat
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(BUILD)/multichat ./cmd/multichat

# One package at a time: some tests hold the system to deadlines that it promises, on machines with two cores.
test: ## every test, with the race detector where a C compiler is found
	@$(if $(RACE),,echo 'make test: no C compiler is found, so the race detector is off')
	CGO_ENABLED=$(if $(RACE),1,0) $(GO) test $(RACE) -p 1 -shuffle=on -timeout 15m $(GOTESTFLAGS) ./...

# It checks tests too. Its version is one that knows the Go of go.mod.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.6.1

lint: ## gofmt, go vet, staticcheck, the table of imports, the names of metrics, and known vulnerabilities
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not gofmt'd:" $$unformatted; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags faults ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -count=1 -run TestImportTable ./cmd/multichat
	$(GO) test -count=1 ./internal/metrics
	GO='$(GO)' .ci/vulncheck

bench: ## multichat beside its peers and its limits, in some minutes: one table, and docs/BENCHMARKS.md
	@mkdir -p docs
	$(GO) test ./internal/peers -count=1 -timeout 0 -v -run '$(BENCH_RUN)' -args --measure core --write '$(CURDIR)/docs/BENCHMARKS.md' $(BENCH)

bench-all: ## the same with the rows that take longer, in half an hour
	@mkdir -p docs
	$(GO) test ./internal/peers -count=1 -timeout 0 -v -run '$(BENCH_RUN)' -args --measure all --write '$(CURDIR)/docs/BENCHMARKS.md' $(BENCH)

microbench: ## the packages' own benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

chaos: ## clients under faults: nodes and databases are killed, stopped and ended, and what was delivered is judged
	@mkdir -p $(BUILD)/chaos
	$(GO) test ./cmd/multichat -count=1 -timeout 0 -v -run '$(CHAOS_RUN)' -args --dir '$(CURDIR)/$(BUILD)/chaos' $(CHAOS)

chaos-compose: ## the same to docker-compose.yml: clients in containers, while containers and networks fail
	@mkdir -p $(BUILD)/chaos
	$(GO) test ./internal/chaos/containers -count=1 -timeout 0 -v -args --dir '$(CURDIR)/$(BUILD)/chaos' $(CHAOS)

images: ## the images of docker-compose.yml: from a registry where one answers, else of what is on this machine
	deploy/images

up: ## two proxies, three servers and two MySQL in containers, healthy
	deploy/up

down: ## ends them; the databases' volumes stay
	deploy/down

clean:
	rm -rf $(BUILD)
