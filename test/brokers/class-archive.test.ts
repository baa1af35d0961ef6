import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { withClassArchive } from "../../scripts/brokers/class-archive.ts";
import type { Found } from "../../scripts/brokers/find-broker.ts";
import { fakeExecutable, temporaryFolder } from "../support/fake-executable.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

/** An installed server, and a Java that is only looked at. */
function installed(): { readonly found: Found; readonly cache: string } {
  const home = temporaryFolder();
  vi.stubEnv("XDG_CACHE_HOME", home);
  vi.stubEnv("PATH", `${fakeExecutable("java", "exit 1")}:${process.env["PATH"]}`);
  const cache = join(home, "omnibus", "brokers");
  const path = join(fakeExecutable("kafka", "exit 1", join(cache, "kafka-1.0.0-maven")), "kafka");
  return { found: { way: "executable", path, version: "1.0.0" }, cache };
}

const options = (found: Found): string => ("env" in found ? (found.env?.["JDK_JAVA_OPTIONS"] ?? "") : "");
const archives = (cache: string): readonly string[] => readdirSync(cache).filter((name) => name.includes(".jsa"));
const nothing = (): void => {};

/** As a server does that is started to leave an archive. */
const leaving = (bytes: string, seen: string[]) => async (found: Found) => {
  const [, path = ""] = /^"-XX:ArchiveClassesAtExit=(.*)"$/.exec(options(found)) ?? [];
  seen.push(path);
  writeFileSync(path, bytes);
};

describe("the archive of a server's classes", () => {
  it("is made once, whoever asks for it at once, and used by all", async () => {
    const { found, cache } = installed();
    const seen: string[] = [];
    const run = leaving("archive", seen);
    const both = await Promise.all([withClassArchive(found, run, nothing), withClassArchive(found, run, nothing)]);
    both.push(await withClassArchive(found, run, nothing));
    expect(seen).toHaveLength(1);
    const [name = ""] = archives(cache);
    expect(archives(cache)).toEqual([expect.stringMatching(/^kafka-1\.0\.0-maven\.[0-9a-f]{12}\.jsa$/)]);
    expect(readFileSync(join(cache, name), "utf8")).toBe("archive");
    for (const each of both) expect(options(each)).toBe(`"-XX:SharedArchiveFile=${join(cache, name)}"`);
  });

  it("is not kept when its server was killed while it wrote, nor when it did not start", async () => {
    const { found, cache } = installed();
    expect(await withClassArchive(found, leaving("\0\0\0\0rest", []), nothing)).toEqual(found);
    const broken = async (learning: Found): Promise<void> => {
      await leaving("archive", [])(learning);
      throw new Error("as told");
    };
    await expect(withClassArchive(found, broken, nothing)).rejects.toThrow("as told");
    expect(archives(cache)).toEqual([]);
  });

  it("is not made of what we did not install", async () => {
    installed();
    const path = join(fakeExecutable("kafka", "exit 1"), "kafka");
    const found: Found = { way: "executable", path, version: "1.0.0" };
    const seen: string[] = [];
    expect(await withClassArchive(found, leaving("archive", seen), nothing)).toEqual(found);
    expect([seen, existsSync(path)]).toEqual([[], true]);
  });
});
