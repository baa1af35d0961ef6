/** An order whose JSON has about `bytes` bytes. */
export interface Order {
  readonly orderId: string;
  readonly region: string;
  readonly total: number;
  readonly note: string;
}

export function orders(bytes: number): (at: number) => Order {
  const plain = JSON.stringify({ orderId: "o-000000", region: "eu", total: 100_000, note: "" }).length;
  const note = "n".repeat(Math.max(bytes - plain, 0));
  return (at) => ({ orderId: `o-${at % 1_000}`, region: "eu", total: at, note });
}

/**
 * What the bare side writes for an event: the same attributes in as many bytes, but made of what costs nothing (a counter
 * for the id, one time for all), as a program that needs no envelope would.
 */
export function envelopes(bytes: number): (at: number) => object {
  const order = orders(bytes);
  const time = "2030-01-31T12:00:00.000Z";
  const id = "0198f0c2-7d1e-7c3a-9d6b-";
  return (at) => {
    const data = order(at);
    return {
      specversion: "1.0",
      id: id + String(at).padStart(12, "0"),
      source: "bench",
      type: "bench.order",
      subject: "bench.order",
      time,
      datacontenttype: "application/json",
      partitionkey: data.orderId,
      data,
    };
  };
}
