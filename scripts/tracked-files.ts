/** What must stand in no file of the repository: marks of unfinished work, this machine's paths, addresses of registries. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { run } from "./run.ts";

const unfinished = /\b(?:T[O]DO|F[I]XME|X[X]X|H[A]CK|T[B]D|W[I]P)\b/;
/** A home folder and all in it; a folder below one for work or temporary files. */
const machinePath =
  /(?<![\w.])(?:\/(?:home|Users|work|workspaces?|builds?)\/[\w.-]+|\/root\/|\/(?:var\/)?tmp\/[\w.-]+\/|[A-Z]:\\Users\\)/;
const registry = /registry\.(?:npmjs|yarnpkg|npmmirror)\.|npm\.pkg\.github|\/_?artifactory\/|\/-\/[\w.-]+\.tgz/;

/** `hosts`: those of this machine's registry, which have no place in a file either. */
export function problemsOf(path: string, text: string, hosts: readonly string[]): string[] {
  const problems: string[] = [];
  for (const [at, line] of text.split("\n").entries()) {
    const where = `${path}:${at + 1}`;
    if (path !== "package-lock.json" && unfinished.test(line)) problems.push(`${where} a mark of unfinished work`);
    if (machinePath.test(line)) problems.push(`${where} a path of one machine`);
    if (registry.test(line) || hosts.some((host) => line.includes(host)))
      problems.push(`${where} a registry's address`);
  }
  return problems;
}

function registryHosts(): string[] {
  const configured = run("npm", ["config", "get", "registry", "--loglevel=error"]);
  const host = URL.parse(configured.output)?.host;
  return host === undefined ? [] : [host];
}

export function trackedProblems(): string[] {
  const listed = run("git", ["ls-files", "--cached", "--others", "--exclude-standard"]);
  if (!listed.ok) return [`git can't list the files: ${listed.output}`];
  const hosts = registryHosts();
  return listed.output
    .split("\n")
    .filter((path) => existsSync(path) && statSync(path).isFile())
    .flatMap((path) => {
      const text = readFileSync(path, "utf8");
      return text.includes("\0") ? [] : problemsOf(path, text, hosts);
    });
}
