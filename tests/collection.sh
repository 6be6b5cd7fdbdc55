#!/bin/sh
# ansible-test sanity over the collection, in a copy: ansible-test writes into the tree that it looks at.
# Usage: tests/sanity.sh [OPTION OF ansible-test sanity]...
set -eu
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
# A home of its own keeps its virtual environments, which take a minute to make, out of ours.
home=$PWD/.cache/ansible-test
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

mkdir -p "$work/ansible_collections/c100k" "$home/.ansible/test/cache" "$home/.config"
cp -R collections/ansible_collections/c100k/harness "$work/ansible_collections/c100k/harness"

# pip must know there, too, where packages come from.
for settings in .config/pip .pip; do
    [ ! -e "$HOME/$settings" ] || ln -sfn "$HOME/$settings" "$home/$settings"
done
# ansible-test fetches the script that puts pip into a virtual environment from its makers' own host, which a machine
# without an open way out cannot reach. It takes the script from its cache when it is there, and Python brings a pip.
# The cache names it after the pip that ansible-test wants.
pip=$("$bin/python" -c '
import re, ansible_test._internal.python_requirements as source
print(re.search(r"pip=.([0-9.]+).", open(source.__file__).read())[1].replace(".", "_"))')
printf 'import ensurepip\nensurepip.bootstrap()\n' > "$home/.ansible/test/cache/get_pip_$pip.py"
python=$("$bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')

cd "$work/ansible_collections/c100k/harness"
find . -name __pycache__ -prune -exec rm -rf {} +
git init --quiet .
git add --all
if ! HOME=$home PATH=$bin:$PATH "$bin/ansible-test" sanity --python "$python" --color no "$@" > "$work/log" 2>&1; then
    grep -E '^(ERROR|FATAL)' "$work/log" || tail -n 20 "$work/log"
    exit 1
fi
echo "$(grep -c '^Running sanity test' "$work/log") sanity tests passed"
