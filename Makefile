# Every command a developer or operator needs. `make` lists them.
FUNCTIONS ?= build/functions
ARCH      ?= arm64
GO_FILES   = $(shell git ls-files '*.go')
CDK        = infra/cli/node_modules/.bin/cdk
ENGINE     = localstack/engine/node_modules/.package-lock.json
CFNLINT    = build/cfn-lint/bin/cfn-lint
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION = 20

.PHONY: help run sdks test test-infra test-localstack lint vet demo histories audit bench generate build-functions synth diff deploy golden clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

run: $(ENGINE) ## run everything on this machine (PORT, DATA_DIR, TLS=1, WELCOME_DELAY, LOG_LEVEL)
	@echo 'Building …'
	@go build -ldflags "-X defter/pkg/openapi.commit=$$(git describe --always --abbrev=40 --dirty=+dirty --exclude='*' 2>/dev/null)" -o bin/defter ./cmd/defter
	@exec bin/defter

test: $(ENGINE) demo/node_modules localstack/sdks/node_modules ## every test below the emulator's level
	go test ./...
	cd demo && npm test --silent

# The published clients in other languages: each where its toolchain is. The tests skip those that are not built, unless DEFTER_SDKS=required.
sdks: localstack/sdks/node_modules build/sdks/go.built $(if $(shell command -v python3),build/sdks/python.built) $(if $(shell command -v mvn),build/sdks/java.built) $(if $(shell command -v cargo),build/sdks/rust.built) ## build the programs that send through the published SDKs in Go, Python, Java and Rust

test-infra: infra/cli/node_modules $(CFNLINT) ## the CDK app: roles, goldens, cdk-nag, cfn-lint
	go test ./infra -count=1
	@mkdir -p build/templates && for f in infra/testdata/*.golden.json; do cp $$f build/templates/$$(basename $$f .golden.json).json; done
	$(CFNLINT) build/templates/*.json

audit: demo/node_modules localstack/sdks/node_modules ## licences of all dependencies against those allowed; known vulnerabilities, where they can be asked for
	go run ./cmd/audit

test-localstack: infra/cli/node_modules ## deploy on an AWS emulator, and tell the end-to-end story there
	$(MAKE) build-functions ARCH=$$(go env GOARCH) FUNCTIONS=build/functions-$$(go env GOARCH)
	go run ./localstack/ministack

vet:
	go vet ./... ./infra ./localstack/...

lint: vet ## gofmt and staticcheck
	@unformatted=$$(gofmt -l $(GO_FILES)); [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }
	go run $(STATICCHECK) ./...

demo: demo/node_modules $(ENGINE) ## replay the CDNOW data through a published SDK and check every figure
	@sh demo/demo.sh

histories: ## 10,000 random histories of customers, orders and payments against a reference (HISTORIES, some minutes)
	go test ./pkg/app -run TestRandomHistories -count=1 -v -timeout 60m -histories $(or $(HISTORIES),10000) | grep -v '^{'

bench: $(ENGINE) ## cost, speed and size (BENCH=quick for a minute's worth)
	go run ./bench

generate: ## schemas, samples and the API description, from the Go types
	go run ./cmd/generate

build-functions: ## every Lambda, ready to deploy (ARCH=arm64|amd64)
	rm -rf $(FUNCTIONS) && mkdir -p $(FUNCTIONS)/.bin
	GOWORK=off CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) go build -trimpath -buildvcs=false -tags lambda.norpc -ldflags "-s -w -buildid= -X defter/pkg/openapi.commit=$$(git describe --always --abbrev=40 --dirty=+dirty --exclude='*' 2>/dev/null)" -o $(FUNCTIONS)/.bin/ ./functions/...
	for f in $(FUNCTIONS)/.bin/*; do install -D $$f $(FUNCTIONS)/$$(basename $$f)/bootstrap; done; rm -r $(FUNCTIONS)/.bin

synth: build-functions infra/cli/node_modules ## the CloudFormation templates, validated
	$(CDK) synth -q $(or $(CONTEXT),-c dataController='Example Ltd.')

diff: build-functions infra/cli/node_modules ## what a deployment would change
	CDK_VALIDATION=false $(CDK) diff $(CONTEXT)

deploy: build-functions infra/cli/node_modules ## deploy into the AWS account of the environment (CONTEXT="-c dataController='Shop Ltd.' -c emailFrom=…")
	$(CDK) deploy --all $(CONTEXT)

golden: ## accept the templates as they are now
	go test ./infra -run Golden -update

clean: ## remove what was built; data stays
	rm -rf bin build cdk.out

$(ENGINE): localstack/engine/package-lock.json
	@echo 'Fetching the DynamoDB engine …'
	@npm ci --prefix localstack/engine --no-audit --no-fund --silent
	@touch $@

infra/cli/node_modules: infra/cli/package-lock.json
	npm ci --prefix infra/cli --no-audit --no-fund --silent
	@touch $@

$(CFNLINT): infra/cli/requirements.txt
	python3 -m venv build/cfn-lint
	build/cfn-lint/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: -r infra/cli/requirements.txt
	@touch $@

demo/node_modules: demo/package-lock.json
	npm ci --prefix demo --no-audit --no-fund --silent
	@touch $@

localstack/sdks/node_modules: localstack/sdks/package-lock.json
	npm ci --prefix localstack/sdks --no-audit --no-fund --silent --ignore-scripts
	@touch $@

build/sdks/go.built: $(wildcard localstack/sdks/go/go.* localstack/sdks/go/*/*.go)
	mkdir -p build/sdks/go
	cd localstack/sdks/go && GOWORK=off go build -o ../../../build/sdks/go/ ./...
	@touch $@

build/sdks/python.built: localstack/sdks/python/requirements.txt
	python3 -m venv --clear build/sdks/python
	build/sdks/python/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	@touch $@

build/sdks/java.built: localstack/sdks/java/pom.xml $(wildcard localstack/sdks/java/src/main/java/*.java)
	mvn --quiet --batch-mode --file $< compile
	@touch $@

build/sdks/rust.built: $(wildcard localstack/sdks/rust/Cargo.* localstack/sdks/rust/src/*.rs)
	cargo build --quiet --locked --manifest-path localstack/sdks/rust/Cargo.toml --target-dir build/sdks/rust
	@touch $@
