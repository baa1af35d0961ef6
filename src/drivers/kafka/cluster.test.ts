import { expect, it } from "vitest";
import { systemClock } from "../../clock.ts";
import type { ClientModule } from "./client.ts";
import { Cluster } from "./cluster.ts";
import type { Link } from "./link.ts";

it("a time behind all records is the end as it was before the question: what comes between is newer", async () => {
  let end = 5n;
  const module = { listOffsetsV9: "offsets", metadataV12: "metadata" } as unknown as ClientModule;
  const answers = (message: unknown, args: readonly unknown[]): unknown => {
    if (message === "metadata") {
      const partitions = [{ partitionIndex: 0, leaderId: 1 }];
      return {
        brokers: [{ nodeId: 1, host: "h", port: 1 }],
        topics: [{ name: "t", topicId: "id", errorCode: 0, partitions }],
      };
    }
    const [{ partitions }] = args[2] as readonly [{ readonly partitions: readonly [{ readonly timestamp: bigint }] }];
    const isEnd = partitions[0].timestamp === -1n;
    const offset = isEnd ? end : -1n;
    end += 1n; // something is stored after each question
    return { topics: [{ name: "t", partitions: [{ partitionIndex: 0, errorCode: 0, offset }] }] };
  };
  const link = { isUp: true, ask: (...asked: Parameters<typeof answers>) => Promise.resolve(answers(...asked)) };
  const cluster = new Cluster({
    ...{ module, clock: systemClock, bootstrap: [{ host: "h", port: 1 }], requestTimeoutMs: 1_000 },
    open: () => Promise.resolve(link as unknown as Link),
  });
  expect(await cluster.offsets([{ topic: "t", partition: 0, at: 1_700_000_000_000 }])).toEqual([5]);
});

it("whoever sends us to a broker that is away is not the one who is asked next", async () => {
  const hosts = ["first", "second", "third"].map((host, at) => ({ host, port: at + 1 }));
  const away = new Set<string>();
  const cluster = new Cluster({
    ...{ module: {} as ClientModule, clock: systemClock, bootstrap: hosts, requestTimeoutMs: 1_000 },
    open: ({ host }) =>
      away.has(host) ? Promise.reject(new Error("refused")) : Promise.resolve({ isUp: true, host } as unknown as Link),
  });
  const asked = async (): Promise<unknown> => ((await cluster.any()) as unknown as { readonly host: string }).host;
  expect([await asked(), await asked()]).toEqual(["first", "first"]);
  away.add("third");
  await expect(cluster.links().to(hosts[2]!)).rejects.toThrow("refused");
  expect([await asked(), await asked()]).toEqual(["second", "second"]);
  await expect(cluster.links().to(hosts[2]!)).rejects.toThrow("refused");
  expect([await asked(), await asked()]).toEqual(["first", "first"]); // the third is passed by
});
