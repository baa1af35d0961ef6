/** A code of the bus, and whether it passes by waiting. */
export type Verdict = readonly [code: string, retryable: boolean];

const verdicts: Readonly<Record<string, Verdict>> = {
  ECONNREFUSED: ["BUS_CONNECTION", true],
  ECONNRESET: ["BUS_CONNECTION", true],
  ECONNABORTED: ["BUS_CONNECTION", true],
  EPIPE: ["BUS_CONNECTION", true],
  ETIMEDOUT: ["BUS_TIMEOUT", true],
  EHOSTUNREACH: ["BUS_CONNECTION", true],
  ENETUNREACH: ["BUS_CONNECTION", true],
  ENOTFOUND: ["BUS_CONNECTION", true],
  EAI_AGAIN: ["BUS_CONNECTION", true],
  ENOENT: ["BUS_INVALID_OPTION", false], // a certificate's file
  EACCES: ["BUS_INVALID_OPTION", false],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: ["BUS_AUTHENTICATION", false],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: ["BUS_AUTHENTICATION", false],
  UNABLE_TO_GET_ISSUER_CERT: ["BUS_AUTHENTICATION", false],
  SELF_SIGNED_CERT_IN_CHAIN: ["BUS_AUTHENTICATION", false],
  DEPTH_ZERO_SELF_SIGNED_CERT: ["BUS_AUTHENTICATION", false],
};

/** What the `code` of an error means that comes from a socket or from TLS; undefined: it is none of theirs. */
export function systemVerdict(code: unknown): Verdict | undefined {
  if (typeof code !== "string") return undefined;
  if (Object.hasOwn(verdicts, code)) return verdicts[code];
  // of OpenSSL there are hundreds; none of them passes by waiting
  return /^(?:ERR_SSL_|ERR_TLS_|CERT_)/.test(code) ? ["BUS_AUTHENTICATION", false] : undefined;
}
