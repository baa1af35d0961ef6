import { describe, expect, it } from "vitest";
import { redact } from "./redact.ts";

describe("redact", () => {
  it.each([
    ["redis://user:secret@host:6379/0", "redis://***@host:6379/0"],
    ["can't reach nats://s3cr3t@host and amqp://guest:guest@other", "can't reach nats://***@host and amqp://***@other"],
    ["postgres://u:p@ss:w@rd@host/db", "postgres://***@host/db"],
    ["kafka://host?sasl=plain&password=hunter2&topic=x", "kafka://host?sasl=plain&password=***&topic=x"],
    ["redis://host?auth_token=abc", "redis://host?auth_token=***"],
    ["sqlite:./bus.db", "sqlite:./bus.db"],
    ["mail to someone@example.com", "mail to someone@example.com"],
  ])("%s", (text, shown) => {
    expect(redact(text)).toBe(shown);
  });

  it("knows the password of the url, wherever it appears", () => {
    const url = "redis://app:pa%2Fss%40word@host";
    expect(redact("WRONGPASS for app with pa/ss@word (pa%2Fss%40word)", url)).toBe("WRONGPASS for app with *** (***)");
  });

  it("knows a password that breaks the url", () => {
    expect(redact("bad url: redis://app:pa/ss#word@host", "redis://app:pa/ss#word@host")).toBe(
      "bad url: redis://***@host",
    );
  });

  it("does not black out a letter everywhere because a password has one", () => {
    expect(redact("a cat sat", "redis://u:a@host")).toBe("a cat sat");
  });
});
