#!/bin/sh
# ansible-test over the collection, in a copy: ansible-test writes into the tree that it looks at.
# Usage: tests/collection.sh sanity|units|integration [OPTION OF ansible-test]...
set -eu
cd "$(dirname "$0")/.."
command=$1
shift
root=$PWD
bin=$PWD/.venv/bin
# A home of its own keeps its virtual environments, which take a minute to make, out of ours.
home=$PWD/.cache/ansible-test
work=$(mktemp -d)
stub=
trap '[ -z "$stub" ] || kill "$stub"; rm -rf "$work"' EXIT INT TERM

mkdir -p "$work/ansible_collections/c100k" "$home/.ansible/test/cache" "$home/.config"
cp -R collections/ansible_collections/c100k/harness "$work/ansible_collections/c100k/harness"
python=$("$bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')

case $command in
sanity)
    # pip must know there, too, where packages come from.
    for settings in .config/pip .pip; do
        [ ! -e "$HOME/$settings" ] || ln -sfn "$HOME/$settings" "$home/$settings"
    done
    # ansible-test fetches the script that puts pip into a virtual environment from its makers' own host, which a machine
    # without an open way out cannot reach. It takes the script from its cache when it is there; ours lends the environment
    # the pip that we have, which takes no time. The cache names it after the pip that ansible-test wants.
    "$bin/python" - "$home/.ansible/test/cache" << 'END'
import pathlib, re, sys
import ansible_test._internal.python_requirements as source
import pip
wanted = re.search(r"pip=.([0-9.]+).", pathlib.Path(source.__file__).read_text())[1].replace(".", "_")
script = f"import os, sysconfig\nos.symlink({pip.__path__[0]!r}, sysconfig.get_path('purelib') + '/pip')\n"
pathlib.Path(sys.argv[1], f"get_pip_{wanted}.py").write_text(script)
END
    set -- --python "$python" "$@"
    ;;
integration)
    # What the targets need beside themselves: Prometheus, which is real, and a Grafana, which is a stub.
    "$bin/python" tests/unit/collection/grafana_stub.py > "$work/grafana" &
    stub=$!
    until [ -s "$work/grafana" ]; do
        kill -0 "$stub"
        sleep 0.1
    done
    {
        cat "$work/grafana"
        "$bin/python" -c '
import socket
with socket.create_server(("127.0.0.1", 0)) as probe:
    print("prometheus_port:", probe.getsockname()[1])'
        echo "prometheus_programs: [$root/.cache/prometheus/usr/bin]"
    } > "$work/ansible_collections/c100k/harness/tests/integration/integration_config.yml"
    set -- --local --python "$python" "$@"
    ;;
units)
    set -- --local --python "$python" "$@"
    ;;
esac

cd "$work/ansible_collections/c100k/harness"
find . -name __pycache__ -prune -exec rm -rf {} +
git init --quiet .
git add --all
if ! HOME=$home PATH=$bin:$PATH "$bin/ansible-test" "$command" --color no "$@" > "$work/log" 2>&1; then
    case $command in
    sanity) grep -E '^(ERROR|FATAL)' "$work/log" || tail -n 20 "$work/log" ;;
    *) tail -n 60 "$work/log" ;;
    esac
    exit 1
fi
case $command in
sanity) echo "$(grep -c '^Running sanity test' "$work/log") sanity tests passed" ;;
units) grep -E '^=+ .*passed' "$work/log" ;;
integration) echo "$(grep -c '^Running .* integration test role' "$work/log") integration targets passed" ;;
esac
