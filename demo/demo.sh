#!/bin/sh
# Starts the system on a free port with an empty data folder of its own, replays the data, checks, and stops it again.
set -eu
data=${DEMO_DATA_DIR:-build/demo-data}
port=${PORT:-8099}
rm -rf "$data"
echo 'Building …'
go build -o bin/defter ./cmd/defter
PORT=$port DATA_DIR=$data LOG_LEVEL=warn bin/defter >build/demo.log 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true' EXIT INT TERM
HOST=http://localhost:$port node demo/run.mjs
