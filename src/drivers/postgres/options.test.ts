import { expect, it } from "vitest";
import { resolveOptions } from "./options.ts";

it("reads a url: user, password, hosts, database, TLS", () => {
  const url = "postgresql://me:s%3Acret@a.example,[::1]:6432/app?sslmode=verify-ca&sslrootcert=/ca.pem";
  expect(resolveOptions({ url })).toMatchObject({
    username: "me",
    password: "s:cret",
    database: "app",
    hosts: [
      { host: "a.example", port: 5_432 },
      { host: "::1", port: 6_432 },
    ],
    tls: { caFile: "/ca.pem", named: false },
  });
  expect(resolveOptions({})).toMatchObject({ username: "postgres", database: "postgres", tls: undefined });
  expect(resolveOptions({ url: "postgres://h", sslmode: "require" }).tls).toMatchObject({ named: true });
});

it.each([
  [{ url: "mysql://h/d" }, /a url must look like/],
  [{ url: "postgres://h:99999/d" }, /host:port/],
  [{ url: "postgres://h/d?sslmode=prefer" }, /"sslmode" must be one of/],
  [{ url: "postgres://h/d?sslmode=require", sslmode: "require" as const }, /stands in the url already/],
  [{ url: "postgres://h/d?host=other" }, /no option "host"/],
  [{ sslmode: "disable" as const, tls: {} }, /no TLS to set up/],
  [{ tls: { certFile: "c.pem" } }, /go together/],
  [{ leaseMs: 1 }, /"leaseMs" must be a whole number/],
  [{ pool: {} as never }, /must be a Pool of pg/],
])("refuses %j by name, without the url", (options, problem) => {
  expect(() => resolveOptions(options)).toThrow(problem);
  try {
    resolveOptions(options);
  } catch (error) {
    expect(error).toMatchObject({ code: "BUS_INVALID_OPTION" });
    expect((error as Error).message).not.toMatch(/:\/\/h/);
  }
});
