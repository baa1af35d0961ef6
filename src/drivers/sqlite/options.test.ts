import { describe, expect, it } from "vitest";
import { newWorld } from "../../../test/support/sqlite-world.ts";
import { sqlite, type SqliteOptions } from "./index.ts";
import { resolveOptions } from "./options.ts";

const refused = (options: unknown): { readonly code?: string; readonly message?: string } => {
  try {
    sqlite(options as SqliteOptions);
  } catch (error) {
    return error as { readonly code: string; readonly message: string };
  }
  return {};
};

describe("the options", () => {
  it("fills in the defaults", () => {
    expect(resolveOptions({ path: "x" })).toEqual({
      path: "x",
      leaseMs: 10_000,
      pollMs: 20,
      busyTimeoutMs: 5_000,
      maxFileBytes: undefined,
    });
  });

  it.each([
    [undefined, '"path"'],
    [null, '"path"'],
    [7, "sqlite must be an object"],
    [{}, '"path"'],
    [{ path: "" }, '"path"'],
    [{ path: 7 }, '"path"'],
    [{ path: "a\0b" }, '"path"'],
    [{ path: ":memory:" }, '"path"'],
    [{ path: "x", lease: 1 }, '"lease"'],
    [{ path: "x", synchronous: "OFF" }, '"synchronous"'],
    [{ path: "x", constructor: 1 }, '"constructor"'],
    [{ path: "x", leaseMs: 10 }, '"leaseMs"'],
    [{ path: "x", leaseMs: Number.NaN }, '"leaseMs"'],
    [{ path: "x", pollMs: 0 }, '"pollMs"'],
    [{ path: "x", pollMs: "20" }, '"pollMs"'],
    [{ path: "x", busyTimeoutMs: -1 }, '"busyTimeoutMs"'],
    [{ path: "x", maxFileBytes: 1 }, '"maxFileBytes"'],
  ])("refuses %j and names what is wrong", (options, named) => {
    const { code, message } = refused(options);
    expect(code).toBe("BUS_INVALID_OPTION");
    expect(message).toContain(named);
  });

  it("refuses a prefix that SQLite keeps for itself", async () => {
    await expect(newWorld().connect({ prefix: "sqlite_" })).rejects.toMatchObject({ code: "BUS_INVALID_OPTION" });
  });

  it("takes any other prefix, quotes included", async () => {
    const world = newWorld();
    const { connection } = await world.connect({ prefix: 'my "own" bus; DROP' });
    expect((await connection.admin.streams()).map(({ name }) => name)).toEqual(["events"]);
    const other = await world.connect({ prefix: "other", streams: [] });
    expect(await other.connection.admin.streams()).toEqual([]);
  });
});
