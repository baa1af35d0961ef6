import type { BusError } from "../../src/index.ts";
import { brokerOf, schemes } from "./broker-schemes.ts";

const untrusted = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
]);

/** What whoever gave this url can do about it, in a line; undefined: nothing beyond what the error says. */
export function hint(error: BusError, url: string | undefined): string | undefined {
  const name = brokerOf(url ?? "");
  if (url === undefined || name === undefined) return undefined;
  const secureScheme = schemes[name].secure;
  const plain = `${schemes[name].plain}://`;
  const secure = `${secureScheme ?? schemes[name].plain}://`;
  const asksTls = secureScheme !== undefined && url.toLowerCase().startsWith(secure);
  const codes = codesOf(error);
  if (error.code === "BUS_AUTHENTICATION") {
    if (codes.some((code) => untrusted.has(code)))
      return "To trust its authority: NODE_EXTRA_CA_CERTS=<the authority's file, PEM> before the command, since a url has no place for it.";
    if (codes.includes("ERR_TLS_CERT_ALTNAME_INVALID")) return "Write the host as its certificate names it.";
    if (codes.some((code) => /^ERR_SSL_.*ALERT/u.test(code)))
      return "It wants a certificate of its clients, and the demo has none to show: give it a server that wants none.";
    return undefined;
  }
  if (asksTls && error.code === "BUS_INVALID_OPTION") return `Without TLS: ${plain} instead of ${secure}.`;
  if (error.code !== "BUS_CONNECTION") return undefined;
  // Redis says nothing to who speaks TLS to it without having any, and one that has it closes the connection to who does not
  const silent = codes.every((code) => code.startsWith("BUS_"));
  if (asksTls && silent) return `If it has no TLS: ${plain} instead of ${secure}.`;
  if (!asksTls && secureScheme !== undefined && codes.includes("ECONNRESET"))
    return `If it takes TLS alone: ${secure} instead of ${plain}.`;
  return `To have one: \`npm run demo -- ${name}\` starts it for the demo alone, \`npm run brokers -- start ${name}\` until you stop it.`;
}

/** Of the error and of what is behind it. */
function codesOf(error: unknown): readonly string[] {
  const codes: string[] = [];
  for (let at = error; at instanceof Error && codes.length < 8; at = at.cause) {
    const { code } = at as { readonly code?: unknown };
    if (typeof code === "string") codes.push(code);
  }
  return codes;
}
