import { globSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';

/** Prints the sources below a folder in which nothing is left when their types are taken away. */
const [folder = '.'] = process.argv.slice(2);
const comments = /\/\*[\s\S]*?\*\/|\/\/.*/g;
for (const path of globSync(`${folder}/**/*.ts`).sort()) {
  const code = stripTypeScriptTypes(readFileSync(path, 'utf8')).replace(comments, '');
  if (/^[\s;]*$/.test(code)) console.log(path);
}
