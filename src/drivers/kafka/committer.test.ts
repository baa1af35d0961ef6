import { describe, expect, it } from "vitest";
import { systemClock } from "../../clock.ts";
import { until } from "../../testing/until.ts";
import type { ClientModule } from "./client.ts";
import { type Committed, Committer } from "./committer.ts";
import type { Coordinator } from "./coordinator.ts";
import type { Membership } from "./membership.ts";

interface Asked {
  readonly name: string;
  readonly partitions: readonly { readonly partitionIndex: number; readonly committedOffset: bigint }[];
}

const nothing: (sentAt: number, apiId: string | undefined) => void = () => undefined;

/** Answers each partition of each request by what a test says of it. */
function committerTo(codeOf: (line: string, at: number) => number) {
  const sent: string[] = [];
  const membership = {
    memberId: "old",
    generation: 5,
    isJoining: false,
    heard: nothing,
  };
  const ask = (...[, args]: readonly [message: unknown, args: readonly unknown[]]): Promise<unknown> => {
    const topics = (args[4] as readonly Asked[]).map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex, committedOffset }) => {
        const line = `${name}:${committedOffset} of ${String(args[1])}`;
        const errorCode = codeOf(line, sent.length);
        sent.push(line);
        return { partitionIndex, errorCode };
      }),
    }));
    return Promise.resolve({ topics });
  };
  const committer = new Committer({
    ...{ module: { offsetCommitV9: {} } as ClientModule, clock: systemClock, group: "g", requestTimeoutMs: 1_000 },
    coordinator: { link: () => Promise.resolve({ ask }), moved: () => undefined } as unknown as Coordinator,
    membership: membership as unknown as Membership,
  });
  return { committer, membership, sent };
}

const lane = (topic: string, offset: number, refused?: Committed["refused"]): Committed => ({
  ...{ topic, partition: 0, commit: () => ({ offset, text: "", confirmed: () => undefined }) },
  ...(refused === undefined ? {} : { refused }),
});

describe("commits of a group", () => {
  it("of a partition that is refused by itself hold up no other", async () => {
    const { committer, sent } = committerTo((line) => (line.startsWith("gone") ? 3 : 0));
    const codes: number[] = [];
    const gone = lane("gone", 1, (code) => codes.push(code) < 0);
    const kept = committer.now(gone);
    expect(await committer.now(lane("there", 2))).toBe(true);
    await until(() => codes.length > 1, "it to be tried again");
    expect(sent.filter((line) => line.startsWith("there"))).toEqual(["there:2 of 5"]);
    committer.forget(gone);
    expect([await kept, new Set(codes)]).toEqual([false, new Set([3])]);
    const given = lane("given up", 4, () => true);
    const other = committerTo(() => 12);
    expect([await other.committer.now(given), other.sent]).toEqual([false, ["given up:4 of 5"]]);
  });

  it("that a loss overtook go out under no later generation, and whoever waits is told", async () => {
    const { committer, membership, sent } = committerTo((_, at) => (at === 0 ? 22 : 0));
    membership.heard = (_, apiId) => {
      if (apiId === undefined) return;
      committer.lost();
      membership.generation = 7;
    };
    expect(await committer.now(lane("t", 100))).toBe(false);
    expect(await committer.now(lane("u", 1))).toBe(true);
    expect(sent).toEqual(["t:100 of 5", "u:1 of 7"]);
  });

  it("that can't be written are an end of that partition only", async () => {
    const { committer } = committerTo(() => 0);
    const codes: number[] = [];
    const broken: Committed = {
      ...{ topic: "t", partition: 1, refused: (code) => codes.push(code) > 0 },
      commit: () => {
        throw new RangeError("too long");
      },
    };
    const done = committer.now(broken);
    expect([await committer.now(lane("t", 1)), await done, codes]).toEqual([true, false, [12]]);
  });
});
