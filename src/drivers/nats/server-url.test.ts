import { describe, expect, it } from "vitest";
import { parseServers } from "./server-url.ts";

describe("servers", () => {
  it("are hosts with ports, urls, or several", () => {
    const hosts = (servers?: string | readonly string[]): readonly string[] => parseServers({ servers }).hosts;
    expect(hosts()).toEqual(["127.0.0.1:4222"]);
    expect(hosts("a")).toEqual(["a:4222"]);
    expect(hosts("nats://a:1/, b:2")).toEqual(["a:1", "b:2"]);
    expect(hosts(["nats://a", "[::1]:4"])).toEqual(["a:4222", "[::1]:4"]);
    expect(hosts("a:1,a:1")).toEqual(["a:1"]);
    expect(hosts("a,nats://a:4222,b")).toEqual(["a:4222", "b:4222"]);
    expect(parseServers({ servers: "tls://a" }).tls).toBe(true);
    expect(parseServers({ servers: "NATS://a" }).tls).toBe(false);
  });

  it("have one login, user and password or a token, with its percent signs read", () => {
    const login = (servers: string) => {
      const { user, password, token } = parseServers({ servers });
      return [user, password, token];
    };
    expect(login("nats://u%40x:p%3A%2F@a")).toEqual(["u@x", "p:/", undefined]);
    expect(login("nats://secret@a,nats://secret@b")).toEqual([undefined, undefined, "secret"]);
    expect(login("nats://u:@a")).toEqual(["u", "", undefined]);
    expect(login("nats://a")).toEqual([undefined, undefined, undefined]);
    expect(parseServers({ servers: "a", user: "u", password: "p" })).toMatchObject({ user: "u", password: "p" });
  });

  it("that are none are refused without what may be a secret", () => {
    for (const servers of [
      "",
      "http://hunter2:x@a",
      "nats://a:0",
      "nats://a:99999",
      "nats://hunter2@",
      "nats://hunter2:p@ss@a",
      "nats://a/b",
      "nats://hunter2%zz@a",
      "a b",
      "::1",
    ]) {
      const parse = (): unknown => parseServers({ servers });
      expect(parse).toThrow(/^nats: /);
      expect(parse).not.toThrow(/hunter2/);
    }
  });
});
