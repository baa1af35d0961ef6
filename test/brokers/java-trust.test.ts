import { readFileSync } from "node:fs";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { expect, it } from "vitest";
import { certificatesIn, makeCertificates } from "../../scripts/brokers/certificates.ts";
import { command } from "../../scripts/brokers/command.ts";
import { temporaryFolder } from "../support/fake-executable.ts";

const module = new URL("../../scripts/brokers/java-trust.ts", import.meta.url).href;
const keytool = await command("keytool", ["-help"]);

async function trusted(path: string, env: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const code = `import { trustingAsNode } from ${JSON.stringify(module)};
console.log(JSON.stringify(trustingAsNode(${JSON.stringify(path)})));`;
  const { output } = await command(process.execPath, ["--input-type=module", "-e", code], {
    env: { NODE_NO_WARNINGS: "1", ...env },
  });
  return JSON.parse(output) as string[];
}

it("Java is told nothing where Node trusts nobody else", async () => {
  expect(await trusted(join(temporaryFolder(), "trusted"), { NODE_EXTRA_CA_CERTS: "" })).toEqual([]);
});

it.skipIf(!keytool.ok)("Java trusts whom Node was told to trust", async () => {
  const folder = temporaryFolder();
  makeCertificates(folder);
  const { ca } = certificatesIn(folder);
  const path = join(folder, "trusted");
  const options = await trusted(path, { NODE_EXTRA_CA_CERTS: ca });
  expect(options[0]).toBe(`-Djavax.net.ssl.trustStore=${path}`);
  const listed = await command("keytool", ["-list", "-rfc", "-keystore", path, "-storepass", "changeit"]);
  expect(listed.ok).toBe(true);
  const lines = (pem: string): string => pem.replaceAll(/\s/g, "");
  expect(lines(listed.output)).toContain(lines(readFileSync(ca, "utf8")));
  expect(listed.output.match(/BEGIN CERTIFICATE/g)).toHaveLength(rootCertificates.length + 1);
});
