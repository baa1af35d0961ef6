import { z } from "zod";
import { defineEvent } from "../../src/index.ts";

const repository = z.looseObject({ id: z.number(), name: z.string(), full_name: z.string() });
const payload = z.looseObject({
  action: z.string().optional(),
  sender: z.looseObject({ login: z.string() }).optional(),
  repository,
});
/** `number` counts the publishes of this run: what order is checked by. */
const envelope = { number: z.number().int().min(1) };

const push = payload.extend({
  ref: z.string(),
  commits: z.array(z.looseObject({ id: z.string(), message: z.string() })),
});
const issue = z.looseObject({ number: z.number(), title: z.string() });
const milestone = z.looseObject({ number: z.number(), title: z.string() });

/** Kinds that the demo looks into; of the others only what all have in common is described. */
const known = z.discriminatedUnion("event", [
  z.object({ ...envelope, event: z.literal("push"), payload: push }),
  z.object({ ...envelope, event: z.literal("issues"), payload: payload.extend({ issue }) }),
  z.object({ ...envelope, event: z.literal("issue_comment"), payload: payload.extend({ issue }) }),
  z.object({ ...envelope, event: z.literal("pull_request"), payload: payload.extend({ pull_request: issue }) }),
  z.object({ ...envelope, event: z.literal("milestone"), payload: payload.extend({ milestone }) }),
]);
const other = z.object({ ...envelope, event: z.string().regex(/^[a-z_0-9]+$/), payload });

export const WebhookReceived = defineEvent("github.webhook", {
  schema: z.union([known, other]),
  topic: "github.{event}",
  key: ({ payload }) => payload.repository.full_name,
});
