import { expect, it } from "vitest";
import { BodyForm } from "./body-form.ts";

/** What is asked for, call by call; `binary`: bodies are no texts. */
function asking(): { calls: string; binary: boolean; readonly ask: (body: string) => Promise<[]> } {
  const state = {
    calls: "",
    binary: false,
    ask: (body: string): Promise<[]> => {
      const isText = body.startsWith("convert_from");
      state.calls += isText ? "t" : "h";
      return isText && state.binary
        ? Promise.reject(Object.assign(new Error("no text"), { code: "22021" }))
        : Promise.resolve([]);
    },
  };
  return state;
}

async function times(count: number, form: BodyForm, { ask }: ReturnType<typeof asking>): Promise<void> {
  for (let call = 0; call < count; call += 1) await form.read(ask);
}

it("asks for hex for longer, each time that a text was none, and for less again when they have been texts for long", async () => {
  const form = new BodyForm();
  const server = asking();
  server.binary = true;
  await times(256 + 512 + 1_024, form, server);
  expect(server.calls).toBe(`t${"h".repeat(256)}t${"h".repeat(512)}t${"h".repeat(1_024)}`);
  server.binary = false;
  server.calls = "";
  await times(65_536, form, server);
  expect(server.calls).toBe("t".repeat(65_536));
  server.binary = true;
  server.calls = "";
  await times(257, form, server);
  expect(server.calls).toBe(`t${"h".repeat(256)}t${"h"}`);
});

it("passes other failures on", async () => {
  const ask = (): Promise<[]> => Promise.reject(Object.assign(new Error("gone"), { code: "57P01" }));
  await expect(new BodyForm().read(ask)).rejects.toThrow("gone");
});
