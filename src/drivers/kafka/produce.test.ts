import { expect, it } from "vitest";
import { loadClient } from "./client.ts";
import { Lane, type Parcel } from "./lane.ts";
import type { Link } from "./link.ts";
import { produce, type Sent } from "./produce.ts";
import type { ProduceTopics } from "./produce-request.ts";

const client = await loadClient();
const settings = { acks: 1, compression: "gzip", requestTimeoutMs: 1_000 } as const;

function laneOf(partition: number, value: string): Sent & { readonly said: string[] } {
  const said: string[] = [];
  const parcel: Parcel = {
    ...{ key: undefined, value, headers: [], bytes: 10, deadline: 10_000 },
    stored: (offset) => void said.push(`stored ${offset}`),
    failed: (how, error) => void said.push(`${how} ${(error as { readonly code?: string }).code}`),
  };
  const lane = new Lane("t", partition, { batchSize: 10, batchBytes: 1_000 });
  lane.add(parcel);
  return { lane, batch: lane.take(0, true)!, said };
}

/** Which partitions were asked to store something, by a line that answers nothing. */
async function asked(sent: readonly Sent[], compress: (bytes: Buffer) => Promise<Buffer>): Promise<readonly number[]> {
  let partitions: readonly number[] = [];
  const ask = (_: unknown, [, , topics]: readonly [unknown, unknown, ProduceTopics]): Promise<never> => {
    partitions = topics.get("t")?.map(({ partition }) => partition) ?? [];
    return Promise.reject(new Error("no answer"));
  };
  const gzip = { ...client.compressionsAlgorithms.gzip, compress };
  const module = { ...client, compressionsAlgorithms: { ...client.compressionsAlgorithms, gzip } };
  const told = await produce(module, { ask } as unknown as Link, sent, undefined, 0, settings);
  for (const { lane, batch, outcome, offset } of told)
    if (outcome !== undefined) lane.answered(batch, outcome, offset, 1);
  return partitions;
}

it("refuses what can't be packed, and stores the others", async () => {
  const [good, bad] = [laneOf(0, "good"), laneOf(1, "bad")];
  const compress = async (bytes: Buffer): Promise<Buffer> => {
    if (bytes.includes("bad")) throw new Error("no memory");
    return bytes;
  };
  expect(await asked([good, bad], compress)).toEqual([0]);
  expect([good.said, bad.said]).toEqual([[], ["no BUS_SERVER"]]);
});

it("packs batches beside each other, and leaves out what was given up meanwhile", async () => {
  const [first, late] = [laneOf(0, "first"), laneOf(1, "late")];
  const { promise, resolve } = Promise.withResolvers<void>();
  let packing = 0;
  const partitions = asked([first, late], async (bytes) => {
    packing += 1;
    await promise;
    return bytes;
  });
  expect(packing).toBe(2);
  late.lane.expire(20_000);
  resolve();
  expect(await partitions).toEqual([0]);
  expect(late.said).toEqual(["unknown BUS_TIMEOUT"]);
});
