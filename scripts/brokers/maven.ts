import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { command, lastLine } from "./command.ts";
import { cacheFolder } from "./folders.ts";
import { type Installer, intoCache, withTool } from "./installer.ts";
import { trustingAsNode } from "./java-trust.ts";

export interface MavenServer {
  /** Of the folder in the cache, and of the script that starts it. */
  readonly name: string;
  readonly version: string;
  /** `group:artifact:version`; what they need comes with them. */
  readonly artifacts: readonly string[];
  /** `group:artifact`, not needed to run and not to be had. */
  readonly without: readonly string[];
  /** The class with `main`. */
  readonly main: string;
  readonly javaArgs: readonly string[];
}

const element = (name: string, text: string): string => `<${name}>${text}</${name}>`;

function coordinates(artifact: string): string {
  const [group = "", id = "", version] = artifact.split(":");
  const parts = [element("groupId", group), element("artifactId", id)];
  return [...parts, ...(version === undefined ? [] : [element("version", version)])].join("");
}

function project({ name, version, artifacts, without }: MavenServer): string {
  const excluded = element("exclusions", without.map((each) => element("exclusion", coordinates(each))).join(""));
  const needed = artifacts.map((each) => element("dependency", coordinates(each) + excluded)).join("\n");
  return [
    `<project xmlns="http://maven.apache.org/POM/4.0.0">`,
    `<modelVersion>4.0.0</modelVersion>${coordinates(`omnibus.brokers:${name}:${version}`)}<packaging>pom</packaging>`,
    element("dependencies", needed),
    `</project>`,
  ].join("\n");
}

/** It becomes the server: a signal to this process is one to that. */
function script({ version, main, javaArgs }: MavenServer, folder: string): string {
  return [
    "#!/bin/sh",
    // Says so without starting a machine, and fails where there is none.
    `if [ "$1" = --version ]; then command -v java > /dev/null && echo ${version}; exit; fi`,
    `exec java ${javaArgs.join(" ")} -cp '${folder}/jars/*' ${main} "$@"`,
    "",
  ].join("\n");
}

/** A server on the JVM from Maven's central repository, with all that it needs, and a script beside it that runs it. */
export function mavenServer(server: MavenServer): Installer {
  const path = join(cacheFolder(), `${server.name}-${server.version}-maven`, server.name);
  return {
    what: `${server.name} ${server.version} by Maven`,
    path,
    install: async () => {
      const maven = await withTool("mvn", ["--version"], "maven"); // which brings a Java runtime
      if (!maven.ok) return maven;
      return intoCache(path, async (folder) => {
        const pom = join(folder, "pom.xml");
        const jars = join(folder, "jars");
        mkdirSync(jars);
        writeFileSync(pom, project(server));
        const ended = await command("mvn", [
          ...["--batch-mode", "--quiet", "--file", pom, "dependency:copy-dependencies"],
          ...["-DincludeScope=runtime", `-DoutputDirectory=${jars}`, ...trustingAsNode(join(folder, "trusted"))],
        ]);
        if (!ended.ok) return { ok: false, output: firstError(ended.output) };
        const run = join(folder, basename(path));
        writeFileSync(run, script(server, dirname(path)));
        chmodSync(run, 0o755);
        return ended;
      });
    },
  };
}

/** Maven ends with where to read about it. */
const firstError = (output: string): string =>
  output
    .split("\n")
    .find((line) => line.includes("[ERROR]"))
    ?.replace(/^.*?\[ERROR\]\s*/, "") ?? lastLine(output);
