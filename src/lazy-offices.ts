import type { DeadLetters, GroupAdmin, StreamAdmin } from "./admin.ts";

/** Administration is loaded when it is first asked for: a service that only publishes and handles never does. */
export const lazyDeadLetters = (office: () => Promise<DeadLetters>): DeadLetters => ({
  list: async (query) => (await office()).list(query),
  get: async (id) => (await office()).get(id),
  count: async (query) => (await office()).count(query),
  replay: async (which, options) => (await office()).replay(which, options),
  discard: async (which) => (await office()).discard(which),
});

export const lazyStreams = (office: () => Promise<StreamAdmin>): StreamAdmin => ({
  ensure: async (stream, options) => (await office()).ensure(stream, options),
  list: async () => (await office()).list(),
  info: async (name) => (await office()).info(name),
  positions: async (name) => (await office()).positions(name),
  trim: async (name, before) => (await office()).trim(name, before),
  delete: async (name) => (await office()).delete(name),
});

export const lazyGroups = (office: () => Promise<GroupAdmin>): GroupAdmin => ({
  list: async (stream) => (await office()).list(stream),
  info: async (group) => (await office()).info(group),
  update: async (group, patterns) => (await office()).update(group, patterns),
  reset: async (group, from) => (await office()).reset(group, from),
  recover: async (group, options) => (await office()).recover(group, options),
  delete: async (group) => (await office()).delete(group),
});

/** Loads once, whoever asks and however often. */
export function once<Value>(load: () => Promise<Value>): () => Promise<Value> {
  let loading: Promise<Value> | undefined;
  return () => (loading ??= load());
}
