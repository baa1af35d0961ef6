import { describe, expect, it } from "vitest";
import { checkServer } from "./check-server.ts";
import type { ServerInfo } from "./client.ts";

const info = (version: string, jetstream = true): ServerInfo => ({
  version,
  jetstream,
  server_id: "N",
  server_name: "n",
  max_payload: 1_048_576,
});

describe("a server's INFO", () => {
  it.each(["2.10.0", "2.10.29", "2.15.2", "2.16.0-preview.1", "3.0.0", "v2.11.3"])("%s is taken", (version) => {
    expect(() => checkServer(info(version))).not.toThrow();
  });

  it.each(["2.9.25", "2.9.0-beta.1", "1.4.1", "0.10.29", "", "no version"])('"%s" is refused, by name', (version) => {
    expect(() => checkServer(info(version))).toThrow(
      expect.objectContaining({
        code: "BUS_UNSUPPORTED",
        retryable: false,
        message: `nats: the server has version ${version}; at least 2.10 is needed`,
      }),
    );
  });

  it("without JetStream, or of a connection that is not open, it is refused", () => {
    expect(() => checkServer(info("2.15.2", false))).toThrow(expect.objectContaining({ code: "BUS_UNSUPPORTED" }));
    expect(() => checkServer(undefined)).toThrow(expect.objectContaining({ code: "BUS_CONNECTION", retryable: true }));
  });
});
