import { readFileSync } from "node:fs";
import { command, lastLine } from "./command.ts";

const engines = ["docker", "podman"];

/** The first container engine that answers. */
export async function findEngine(): Promise<string | undefined> {
  for (const engine of engines) {
    const { ok } = await command(engine, ["ps", "--quiet"], { timeoutMs: 10_000 });
    if (ok) return engine;
  }
  return undefined;
}

/** Pulls it unless it is there. Why it failed, if it did. */
export async function pullImage(
  engine: string,
  image: string,
  say: (line: string) => void,
): Promise<string | undefined> {
  if ((await command(engine, ["image", "inspect", image])).ok) return undefined;
  say(`pulls ${image} by ${engine}`);
  const { ok, output } = await command(engine, ["pull", "--quiet", image]);
  return ok ? undefined : lastLine(output);
}

/** The image of a service in the shipped compose.yaml, or the same of another version. */
export function imageOf(service: string, newest: string, version: string): string {
  const compose = readFileSync(new URL("../../compose.yaml", import.meta.url), "utf8");
  const image = new RegExp(`^  ${service}:\\n(?:    .*\\n)*?    image: (\\S+)$`, "m").exec(compose)?.[1];
  if (image === undefined) throw new Error(`compose.yaml has no image for ${service}`);
  if (!image.includes(`:${newest}`)) throw new Error(`compose.yaml pins ${image}, and not ${newest}`);
  return image.replace(`:${newest}`, `:${version}`);
}
