#!/bin/sh
# Write the lock files anew from the pyproject files. They pin names, versions and hashes, never where a package came from.
set -eu
cd "$(dirname "$0")/.."
lock() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate "$@"
}
lock pyproject.toml -o requirements/controller.txt
lock pyproject.toml --group dev -o requirements/development.txt
lock server/pyproject.toml -o requirements/server.txt
lock loadgen/pyproject.toml -o requirements/loadgen.txt
# The two lines of the official Python SDK, as clients in the tests, in an environment each.
for line in 1 2; do
    echo "mcp>=$line,<$((line + 1))" | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate - -o requirements/sdk-$line.txt
done
# Nothing but the collections that it brings is wanted of it.
echo 'ansible>=12.3,<12.4' | lock --no-deps - -o requirements/grafana.txt
# What fuzzes the server, beside what the server needs, and what installs it. Atheris 3.1 has nothing for Python 3.11.
printf '%s\n' 'atheris>=3.0,<3.1' 'editables>=0.5' 'hatchling>=1.27' | lock server/pyproject.toml - -o requirements/fuzzing.txt
