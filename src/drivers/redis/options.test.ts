import { describe, expect, it } from "vitest";
import { redis } from "./index.ts";
import { resolveOptions, type RedisOptions } from "./options.ts";

describe("the options of redis()", () => {
  it("have every default in its place", () => {
    expect(resolveOptions({})).toMatchObject({
      address: { host: "127.0.0.1", port: 6_379, tls: false },
      database: 0,
      leaseMs: 10_000,
      batchSize: 256,
      blockMs: 5_000,
      pollMs: 1_000,
      connectTimeoutMs: 5_000,
      socketTimeoutMs: 5_000,
      dedupeWindowMs: 120_000,
    });
    expect(redis({ dedupeWindowMs: 7 }).capabilities.dedupeWindowMs).toBe(7);
  });

  it("read a url, and what stands beside it wins", () => {
    const url = "rediss://me:a%2Fb@[::1]:7000/3";
    expect(resolveOptions({ url })).toMatchObject({
      address: { host: "::1", port: 7_000 },
      database: 3,
      username: "me",
      password: "a/b",
      tls: {},
    });
    expect(resolveOptions({ url, database: 4, username: "you", password: "x" })).toMatchObject({
      database: 4,
      username: "you",
      password: "x",
    });
    expect(resolveOptions({ cluster: ["rediss://u:p@a:1", "rediss://u:p@b:2"] })).toMatchObject({
      cluster: [{ host: "a" }, { host: "b", port: 2 }],
      username: "u",
      tls: {},
    });
    expect(
      resolveOptions({ sentinel: { name: "shop", nodes: ["a:26379", "redis://b"] } }).sentinel?.nodes,
    ).toMatchObject([
      { host: "a", port: 26_379 },
      { host: "b", port: 6_379 },
    ]);
    expect(resolveOptions({ sentinel: { name: "shop", nodes: ["rediss://a"] } })).toMatchObject({
      tls: {},
      sentinel: { nodes: [{ tls: true }] },
    });
    expect(resolveOptions({ sentinel: { name: "shop", nodes: ["a"] }, tls: {} }).sentinel?.nodes[0]?.tls).toBe(true);
    expect(resolveOptions({ sentinel: { name: "shop", nodes: ["redis://a"] }, tls: {} })).toMatchObject({
      tls: {},
      sentinel: { nodes: [{ tls: false }] },
    });
  });

  it.each<[string, object, RegExp]>([
    ["an unknown key", { leaseMS: 1 }, /did you mean "leaseMs"/],
    ["a lease that is too short", { leaseMs: 10 }, /"leaseMs" must be/],
    ["a url of another scheme", { url: "http://secret@a" }, /must look like/],
    ["a database that is none", { url: "redis://a/x" }, /number of a database/],
    ["a percent sign alone", { url: "redis://u:%zz@a" }, /%25/],
    ["two places", { url: "redis://a", cluster: ["redis://a"] }, /"url" and "cluster"/],
    ["a sentinel without a name", { sentinel: { nodes: ["a"] } }, /needs "name" and "nodes"/],
    ["no nodes", { cluster: [] }, /"cluster" must not be empty/],
    ["a certificate without its key", { tls: { certFile: "a" } }, /"certFile" and "keyFile"/],
    ["a client that is none", { client: {} }, /"client" must be a client of redis/],
    ["an attachment without a key", { attach: { a: {} } }, /needs "key"/],
    ["nodes of which some are in the clear", { cluster: ["redis://a", "rediss://b"] }, /all redis: or all rediss:/],
    ["nodes with several logins", { cluster: ["redis://u:secret@a", "redis://b"] }, /one user and password/],
    ["a database in a node's url", { cluster: ["redis://a", "redis://b/3"] }, /database 0 only/],
    ["sentinels of which some are in the clear", { sentinel: { name: "a", nodes: ["rediss://a", "b"] } }, /all by TLS/],
    ["a login in a sentinel's url", { sentinel: { name: "a", nodes: ["redis://u:secret@a"] } }, /beside "nodes"/],
    ["a database of a sentinel", { sentinel: { name: "a", nodes: ["redis://a/1"] } }, /has no database/],
    ["a database of a cluster", { cluster: ["redis://a"], database: 1 }, /"database" 0 only/],
  ])("refuse %s, without a secret in the words", (_, options, words) => {
    expect(() => redis(options as RedisOptions)).toThrow(words);
    expect(() => redis(options as RedisOptions)).not.toThrow(/secret/);
  });

  it("refuse beside a client what it has itself", () => {
    const client = { sendCommand: () => undefined, duplicate: () => undefined } as unknown as RedisOptions["client"];
    expect(() => redis({ client, url: "redis://a" })).toThrow(/"url" is the client's own/);
    expect(redis({ client }).name).toBe("redis");
  });
});
