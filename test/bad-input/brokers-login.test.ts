import { inspect } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Broker } from "../../scripts/brokers/broker.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { connect, type BusError, type BusOptions } from "../../src/index.ts";
import { freshName, natsWorld, redisRaw, redisWorld } from "../support/broker-worlds.ts";
import { failureOf, LogBook, Tick } from "../support/events.ts";
import { reloadNats } from "../support/reload-nats.ts";

const worlds = [await natsWorld(), await redisWorld()];
const hostOf = (broker: Broker): string => new URL(broker.url).host;

/** Everything that a caller and a log can see of it; that it came at once. */
async function refusal(url: string, more: object = {}): Promise<BusError & { readonly seen: string }> {
  const book = new LogBook();
  const from = performance.now();
  const options = { prefix: freshName("n"), logger: book, connectTimeoutMs: 15_000, ...more } as BusOptions;
  const error = await failureOf(
    connect(url, options).then(async (bus) => {
      await bus.close();
      return bus;
    }),
  );
  expect(performance.now() - from).toBeLessThan(6_000);
  const seen = inspect([error, book.lines], { depth: 12, showHidden: true }) + JSON.stringify([error, book.lines]);
  return Object.assign(error, { seen });
}

async function works(url: string, more: object = {}): Promise<void> {
  const bus = await connect(url, { prefix: freshName("n"), ...more } as BusOptions);
  onTestFinished(() => bus.close().then(() => undefined));
  expect((await bus.publish(Tick, { n: 1 })).stream).toBe("events");
}

describe.each(worlds)("logging in to $name by its url", ({ name, broker: plain }) => {
  describe.skipIf(plain === undefined)("with what is wrong", () => {
    it("a password is refused at once, for good, and nowhere to be read", async () => {
      await using broker = await startBroker(name, { variant: "password" });
      const host = hostOf(broker);
      await works(broker.url);
      for (const login of [
        "",
        "omnibus:hunter2@",
        "omnibus:hunter2%40%3A%2F@",
        "nobody:hunter2@",
        "hunter2@",
        ":hunter2@",
      ]) {
        const error = await refusal(`${name}://${login}${host}`);
        expect([login, error.code, error.retryable]).toEqual([login, "BUS_AUTHENTICATION", false]);
        expect(error.seen).not.toContain("hunter2");
      }
    });

    it("a password of signs that urls have uses for works when it is written as urls want it", async () => {
      const word = "p@:/#%?&[ü ";
      await using broker = await startBroker(name, { variant: "password" });
      const host = hostOf(broker);
      if (name === "nats") await reloadNats(broker, (config) => config.replace(`"secret"`, JSON.stringify(word)));
      else {
        const user = ["ACL", "SETUSER", "omnibus", "resetpass", `>${word}`];
        await redisRaw(Number(new URL(broker.url).port), [["AUTH", "omnibus", "secret"], user]);
      }
      await works(`${name}://omnibus:${encodeURIComponent(word)}@${host}`);
      await works(`${name}://${host}`, {
        [name]: { [name === "nats" ? "user" : "username"]: "omnibus", password: word },
      });
      const error = await refusal(broker.url);
      expect(error.code).toBe("BUS_AUTHENTICATION");
      expect(error.seen).not.toContain(`:secret@`);
    });

    it("a certificate of another authority, for another host, or one that has expired is refused at once, for good", async () => {
      await using good = await startBroker(name, { variant: "tls" });
      const caFile = good.certificates!.ca;
      await works(good.url, { [name]: { tls: { caFile } } });
      const strange = [{}, { [name]: { tls: {} } }, { [name]: { tls: { caFile: good.certificates!.otherCa } } }];
      for (const options of strange) {
        const error = await refusal(good.url, options);
        expect([inspect(options), error.code, error.retryable]).toEqual([
          inspect(options),
          "BUS_AUTHENTICATION",
          false,
        ]);
      }
      for (const variant of ["tls-expired", "tls-wrong-host"] as const) {
        await using bad = await startBroker(name, { variant });
        const error = await refusal(bad.url, { [name]: { tls: { caFile: bad.certificates!.ca } } });
        expect([variant, error.code, error.retryable]).toEqual([variant, "BUS_AUTHENTICATION", false]);
      }
    });

    it("a client's certificate that is missing or a stranger's is refused at once, for good", async () => {
      await using broker = await startBroker(name, { variant: "mtls" });
      const { ca: caFile, client, stranger } = broker.certificates!;
      const of = (pair: { readonly cert: string; readonly key: string }): object => ({
        [name]: { tls: { caFile, certFile: pair.cert, keyFile: pair.key } },
      });
      await works(broker.url, of(client));
      for (const options of [{ [name]: { tls: { caFile } } }, of(stranger)]) {
        const error = await refusal(broker.url, options);
        expect([error.code, error.retryable]).toEqual(["BUS_AUTHENTICATION", false]);
      }
    });

    it("TLS that a server does not have is never gone without", async () => {
      const tls = plain!.url.replace(/^\w+:/, name === "nats" ? "tls:" : "rediss:");
      for (const [url, options] of [
        [tls, {}],
        [plain!.url, { [name]: { tls: {} } }],
      ] as const) {
        const error = await refusal(url, { ...options, connectTimeoutMs: 3_000 });
        expect(error.code).toMatch(/^BUS_(AUTHENTICATION|INVALID_OPTION|CONNECTION|TIMEOUT)$/);
      }
    });

    it("a url that is none is refused before anything is sent", async () => {
      const { port } = new URL(plain!.url);
      const wrong = [`${name}://:${port}`, `${name}://127.0.0.1:99999`, `${name}://127.0.0.1:x`]
        .concat(name === "nats" ? [] : [`${name}://127.0.0.1:${port}/x`, `${name}://127.0.0.1:${port}/-1`])
        .concat([`${name}://127.0.0.1:${port}?leasMs=5`, `${name}://127.0.0.1:${port}?tls=x`, `${name}://a b:${port}`])
        .concat([`${name}://omnibus:hunter2%zz@127.0.0.1:${port}`]);
      const accepted: string[] = [];
      for (const url of wrong) {
        const { code, seen } = await refusal(url, { connectTimeoutMs: 2_000 });
        if (code !== "BUS_INVALID_OPTION" || seen.includes("hunter2")) accepted.push(`${url}: ${code}`);
      }
      expect(accepted).toEqual([]);
    });
  });
});
