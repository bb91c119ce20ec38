// Bundles the page: node build.mjs [--out DIR] [--modules DIR] [--watch]. Modules are looked for in DIR (build/page of the project
// when `make install` calls, so that nothing is installed among the sources), else beside this file.
import { cpSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const LIMIT = 600_000;
const option = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : resolve(process.argv[at + 1]);
};
const out = option('out', join(HERE, '..', 'page'));
const modules = option('modules', join(HERE, 'node_modules'));
const esbuild = createRequire(join(modules, 'x.js'))('esbuild');

const common = {
  bundle: true, minify: true, target: ['es2022'], nodePaths: [modules], legalComments: 'none', logLevel: 'warning',
  absWorkingDir: HERE, charset: 'utf8', loader: { '.css': 'css' },
};
const entries = [
  { ...common, entryPoints: { page: 'src/main.js' }, format: 'esm', outdir: out },
  { ...common, entryPoints: { report: 'src/report/main.js' }, format: 'iife', outdir: out },
];

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
for (const name of ['index.html', 'icon.svg', 'report.html']) cpSync(join(HERE, name), join(out, name));
if (process.argv.includes('--watch')) {
  for (const entry of entries) await (await esbuild.context({ ...entry, minify: false })).watch();
} else {
  for (const entry of entries) await esbuild.build(entry);
  const total = readdirSync(out).reduce((sum, name) => sum + statSync(join(out, name)).size, 0);
  console.log(`the page: ${Math.round(total / 1000)} KB`);
  if (total > LIMIT) {
    console.error(`error: the page may have ${LIMIT / 1000} KB: see what grew with esbuild's --analyze`);
    process.exit(1);
  }
}
