import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { expect, it } from "vitest";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { until } from "../../src/testing/index.ts";

it.each([
  ["a line", "+OK\r\n"],
  ["a number", ":12\r\n"],
  ["nothing", "$-1\r\n"],
  ["a text with line ends and signs of several bytes", "$8\r\na\r\nö\r\nb\r\n"],
  ["an empty list", "*0\r\n"],
  ["a list of lists", "*3\r\n$2\r\nab\r\n*2\r\n:1\r\n$-1\r\n$1\r\nc\r\n"],
])("a reply of Redis is read to its end, however it comes: %s", async (_, reply) => {
  const bytes = Buffer.from(reply);
  let sent = 0;
  await using server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => undefined);
    socket.once("data", async () => {
      for (; sent < bytes.length; sent += 1) {
        socket.write(bytes.subarray(sent, sent + 1));
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  expect(await redisCommand((server.address() as AddressInfo).port, "ANY")).toBe(reply);
  await until(() => sent === bytes.length, "all to be sent");
});
