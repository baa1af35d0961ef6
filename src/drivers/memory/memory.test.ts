import { describe, expect, it } from "vitest";
import {
  codeOf,
  connectTo,
  consume,
  groupSpec,
  joinGroup,
  outgoing,
  publish,
  toTopic,
  until,
} from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { memory, type MemoryOptions } from "./index.ts";

const live = new AbortController().signal;
let names = 0;
const newName = () => `store-${(names += 1)}`;

describe("memory()", () => {
  it("refuses what is no option of its own, by name", () => {
    const wrong: readonly [unknown, string][] = [
      [{ encoed: false }, "encoed"],
      [{ name: "" }, "name"],
      [{ name: 7 }, "name"],
      [{ encode: "no" }, "encode"],
      [{ maxMessages: 0 }, "maxMessages"],
      [{ maxBytes: Number.NaN }, "maxBytes"],
      [{ whenFull: "drop" }, "whenFull"],
      [{ maxLetters: -1 }, "maxLetters"],
    ];
    for (const [options, named] of wrong) {
      const expected = { code: "BUS_INVALID_OPTION", message: expect.stringContaining(`"${named}"`) };
      expect(() => memory(options as MemoryOptions)).toThrow(expect.objectContaining(expected));
    }
    memory({
      name: undefined,
      encode: undefined,
      maxMessages: undefined,
      maxBytes: undefined,
      whenFull: undefined,
      maxLetters: undefined,
    });
  });

  it("has a store of its own, found again by whoever connects again with the same driver", async () => {
    const driver = memory();
    const first = await connectTo(driver);
    await first.connection.ensureStream({ name: "events", topics: [">"] }, false);
    publish(first.connection, ["1"]);
    await first.connection.close(live);
    const second = await connectTo(driver);
    expect((await second.connection.admin.streams())[0]!.messages).toBe(1);
    expect(await (await connectTo(memory())).connection.admin.streams()).toEqual([]);
  });

  it("shares a store by name, across closing and connecting again, but not across prefixes", async () => {
    const name = newName();
    const one = await connectTo(memory({ name }));
    await one.connection.ensureStream({ name: "events", topics: [">"] }, false);
    await one.connection.ensureGroup(groupSpec("g"));
    publish(one.connection, ["1"]);
    await one.connection.close(live);
    const two = await connectTo(memory({ name }));
    const { sink } = await joinGroup(two.connection, "g");
    await until(() => sink.messages.length === 1, "it");
    expect(await (await connectTo(memory({ name }), { prefix: "else" })).connection.admin.streams()).toEqual([]);
  });

  it("keeps what is due while nobody is connected, and sets no timer then", async () => {
    const driver = memory();
    const clock = new ManualClock();
    const one = await connectTo(driver, { clock });
    await one.connection.ensureStream({ name: "events", topics: [">"] }, false);
    publish(one.connection, ["soon"], { notBefore: clock.now() + 1_000 });
    expect(clock.timers).toBe(1);
    await one.connection.close(live);
    expect(clock.timers).toBe(0);
    clock.advance(5_000);
    const two = await connectTo(driver, { clock });
    const { sink } = await consume(two.connection, {
      kind: "tail",
      stream: "events",
      from: { at: "oldest" },
      resume: undefined,
    });
    clock.advance(0);
    await until(() => sink.messages.length === 1, "it");
  });

  it("passes values as they are when it does not encode, and refuses to mix", async () => {
    const name = newName();
    const { connection } = await connectTo(memory({ name, encode: false }));
    expect(connection.unencoded).toBe(true);
    await connection.ensureStream({ name: "events", topics: [">"] }, false);
    const { sink } = await consume(connection, {
      kind: "tail",
      stream: "events",
      from: { at: "newest" },
      resume: undefined,
    });
    const value = { total: 1n };
    connection.send([outgoing(toTopic("a"), "", { value }).message]);
    await until(() => sink.messages.length === 1, "it");
    expect(sink.messages[0]!.value).toBe(value);
    expect((await connection.admin.streams())[0]!.bytes).toBe(0);
    expect(await codeOf(connectTo(memory({ name })))).toBe("BUS_CONFLICT");
    expect((await connectTo(memory())).connection.unencoded).toBe(false);
  });

  it("classifies by code", () => {
    const driver = memory();
    const classify = (error: unknown) => driver.classify(error);
    expect(classify(new DriverError("BUS_FULL", "x"))).toEqual({ code: "BUS_FULL", retryable: false });
    expect(classify(Object.assign(new Error("of another copy"), { code: "BUS_CONNECTION", retryable: true }))).toEqual({
      code: "BUS_CONNECTION",
      retryable: true,
    });
    expect(classify(new Error("x"))).toEqual({ code: "BUS_SERVER", retryable: false });
    expect(classify(undefined)).toEqual({ code: "BUS_SERVER", retryable: false });
  });

  it("does not connect when told to stop", async () => {
    const { connection } = await connectTo(memory());
    await expect(
      memory().connect({
        name: "x",
        prefix: "p",
        member: undefined as never,
        manage: "create",
        clock: undefined as never,
        signal: AbortSignal.abort(new Error("enough")),
        status: () => {},
        changed: () => {},
        warn: () => {},
      }),
    ).rejects.toThrow("enough");
    await connection.close(live);
  });
});

describe("a connection", () => {
  it("pings with what the store holds, until it is closed", async () => {
    const name = newName();
    const { connection } = await connectTo(memory({ name }));
    await connection.ensureStream({ name: "events", topics: [">"] }, false);
    publish(connection, ["12", "3"]);
    expect(await connection.ping()).toEqual({
      store: name,
      connections: 1,
      streams: 1,
      groups: 0,
      messages: 2,
      bytes: 3,
    });
    await connection.close(live);
    expect(await codeOf(connection.ping())).toBe("BUS_CLOSED");
    expect(await codeOf(connection.ensureStream({ name: "events", topics: [">"] }, false))).toBe("BUS_CLOSED");
    expect(await codeOf(connection.ensureGroup(groupSpec("g")))).toBe("BUS_CLOSED");
    expect(await codeOf(joinGroup(connection, "g"))).toBe("BUS_CLOSED");
  });

  it("lists its members with what they are", async () => {
    const { connection } = await connectTo(memory(), { member: "m-1" });
    await connection.ensureStream({ name: "events", topics: [">"], partitions: 2 }, false);
    await connection.ensureGroup(groupSpec("g", { order: "group" }));
    await connection.ensureGroup(groupSpec("u"));
    await joinGroup(connection, "g");
    await joinGroup(connection, "u");
    expect(await connection.admin.members("g")).toMatchObject([
      { id: "m-1", name: "test", host: "here", partitions: [0, 1] },
    ]);
    expect((await connection.admin.members("u"))[0]!.partitions).toBeUndefined();
    expect(await codeOf(connection.admin.members("nobody"))).toBe("BUS_NOT_FOUND");
  });
});
