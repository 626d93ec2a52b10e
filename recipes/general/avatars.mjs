// Writes avatars as JSON lines: {"style", "svg", "extra"}. Usage:
//   node avatars.mjs FOLDER SEED STYLE=COUNT ...
// FOLDER holds node_modules/@dicebear.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, seed, ...styles] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${folder}/`));
const load = (name) => import(pathToFileURL(require.resolve(`@dicebear/${name}`)));
const { createAvatar } = await load("core");
const grounds = ["b6e3f4", "c0aede", "d1d4f9", "ffd5dc", "ffdfbf", "8ecae6", "90be6d", "f9c74f",
  "f3722c", "577590", "264653", "e9c46a", "ffffff", "212529", "e63946"];

for (const pair of styles) {
  const [style, count] = pair.split("=");
  const collection = await load(style);
  for (let number = 0; number < Number(count); number++) {
    const options = { seed: `${seed}-${style}-${number}`, size: 128 };
    if (number % 2) {
      options.backgroundColor = grounds;
      options.backgroundType = number % 4 === 1 ? ["solid"] : ["gradientLinear"];
    }
    const avatar = createAvatar(collection, options);
    const extra = Object.entries(avatar.toJson().extra).filter(([, value]) => value);
    const line = { style, svg: avatar.toString(), extra: extra.map(([name]) => name) };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
}
