# Sourced by the scripts: brings the project's own Node and packages, from a clean clone.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
command -v npm >/dev/null || { echo "stillpoint needs Node (20 or newer) and npm to set itself up" >&2; exit 2; }
if [ ! -x node_modules/.bin/node ] || [ package-lock.json -nt node_modules/.installed ]; then
  echo "setting up: npm install (once)" >&2
  npm install --no-save --no-audit --no-fund --loglevel=error >&2 || exit 2
  touch node_modules/.installed
fi
PATH="$PWD/node_modules/.bin:$PATH"
export PATH
