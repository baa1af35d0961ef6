import { describe, expect, it } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import type { PostgresOptions } from "../../src/drivers/postgres/index.ts";
import { connectPostgres, freshSchema, refusal } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";
import { withinTwoSeconds } from "../support/within-two-seconds.ts";

const within2s = (options: PostgresOptions): Promise<string> => withinTwoSeconds(() => refusal(options));

const guarded = await testBroker("postgres", { own: true, variant: "password" });
describe.skipIf(guarded === undefined)("a server that asks for a password", () => {
  it("option: PostgresOptions.password, PostgresOptions.username let in, as does the url, and a function", async () => {
    const { login, url, servers } = guarded!;
    const secret = { user: login!.user ?? "", password: login!.password ?? "" };
    const schema = await freshSchema(servers[0]!.port, secret);
    await connectPostgres({ url, schema });
    const { host } = new URL(url);
    const plain = { url: `postgres://${host}/postgres`, schema, username: secret.user };
    await connectPostgres({ ...plain, password: secret.password });
    const { connection } = await connectPostgres({ ...plain, password: () => Promise.resolve(secret.password) });
    expect(await connection.ping()).toMatchObject({ schema });
  });

  it("says at once that one is wrong, missing, or of nobody, and keeps it to itself", async () => {
    const { url, login } = guarded!;
    const wrong = connectPostgres({ url: url.replace(`:${login!.password}@`, ":guessed@") });
    await expect(wrong).rejects.toMatchObject({ code: expect.stringMatching(/^28/) });
    await expect(wrong).rejects.not.toThrow(/guessed/);
    for (const password of [":guessed@", "@"])
      expect(await within2s({ url: url.replace(`:${login!.password}@`, password) })).toBe("BUS_AUTHENTICATION");
    expect(await within2s({ url, username: "nobody" })).toBe("BUS_AUTHENTICATION");
  });
});

const secure = await testBroker("postgres", { own: true, variant: "tls" });
describe.skipIf(secure === undefined)("a server with TLS", () => {
  it("option: PostgresOptions.tls, PostgresTlsOptions.caFile, PostgresOptions.sslmode, PostgresOptions.sslrootcert reach it, and without the authority it is refused at once", async () => {
    const { url, certificates } = secure!;
    const caFile = certificates!.ca;
    const named = url.replace("127.0.0.1", "localhost");
    await connectPostgres({ url: named, tls: { caFile } });
    await connectPostgres({ url: `${named}?sslmode=verify-full&sslrootcert=${caFile}` });
    expect(await within2s({ url: named, tls: {} })).toBe("BUS_AUTHENTICATION");
    expect(await within2s({ url: named })).toBe("BUS_AUTHENTICATION"); // pg_hba.conf takes nobody without
  });

  it("is not asked for where the server has none", async () => {
    const plain = await testBroker("postgres");
    expect(await within2s({ url: plain!.url, tls: {} })).toBe("BUS_CONNECTION");
  });
});

const [expired, elsewhere] = [
  await testBroker("postgres", { own: true, variant: "tls-expired" }),
  await testBroker("postgres", { own: true, variant: "tls-wrong-host" }),
];
describe.skipIf(expired === undefined || elsewhere === undefined)("a certificate", () => {
  it("that is over, or of another host, is refused at once; of another host it is taken where only the authority counts", async () => {
    for (const { url, certificates } of [expired!, elsewhere!]) {
      const named = url.replace("127.0.0.1", "localhost");
      expect(await within2s({ url: named, tls: { caFile: certificates!.ca } })).toBe("BUS_AUTHENTICATION");
    }
    const { url, certificates, servers } = elsewhere!;
    const schema = await freshSchema(servers[0]!.port, { tls: { rejectUnauthorized: false } });
    await connectPostgres({ url: `${url}?sslmode=verify-ca&sslrootcert=${certificates!.ca}`, schema });
  });
});

const mutual = await testBroker("postgres", { own: true, variant: "mtls" });
describe.skipIf(mutual === undefined)("a server that asks for certificates", () => {
  it("option: PostgresTlsOptions.certFile, PostgresTlsOptions.keyFile, PostgresOptions.sslcert, PostgresOptions.sslkey are taken, and nobody without", async () => {
    const { url, certificates } = mutual!;
    const { ca: caFile } = certificates!;
    const named = url.replace("127.0.0.1", "localhost");
    const { certFile, keyFile } = clientFiles(certificates!);
    await connectPostgres({ url: named, tls: { caFile, certFile, keyFile } });
    await connectPostgres({ url: named, sslrootcert: caFile, sslcert: certFile, sslkey: keyFile });
    expect(await within2s({ url: named, tls: { caFile } })).toBe("BUS_AUTHENTICATION");
  });
});

function clientFiles(certificates: object): { readonly certFile: string; readonly keyFile: string } {
  const { client } = certificates as { readonly client: { readonly cert: string; readonly key: string } };
  return { certFile: client.cert, keyFile: client.key };
}

const loose = await testBroker("postgres", { own: true, variant: "no-sync" });
describe.skipIf(loose === undefined)("a server that does not wait for its disk", () => {
  it("is used, and it is said", async () => {
    const { url, servers } = loose!;
    const { connection, warnings } = await connectPostgres({ url, schema: await freshSchema(servers[0]!.port) });
    expect(warnings).toEqual([expect.stringMatching(/synchronous_commit is off/)]);
    expect(await connection.ping()).toMatchObject({ warnings: expect.stringMatching(/synchronous_commit is off/) });
  });
});

const pair = await testBroker("postgres", { own: true, variant: "replica" });
describe.skipIf(pair === undefined)("a primary and its standby", () => {
  it("refuses the standby by name, and finds the primary behind it", async () => {
    const [primary, standby] = pair!.servers;
    const schema = await freshSchema(primary!.port);
    const url = (...ports: readonly number[]): string =>
      `postgres://omnibus@${ports.map((port) => `127.0.0.1:${port}`).join(",")}/postgres`;
    await expect(connectPostgres({ url: url(standby!.port), schema })).rejects.toMatchObject({
      code: "BUS_CONNECTION",
      retryable: true,
      message: expect.stringMatching(/read-only standby/),
    });
    await connectPostgres({ url: url(standby!.port, primary!.port), schema });
    expect((await postgresCommand(primary!.port, `SELECT count(*) FROM ${schema}.omnibus_meta`))[0]?.[0]).not.toBe("0");
  });
});
