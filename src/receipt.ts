/** What a publish resolves with. */
export interface Receipt {
  readonly id: string;
  readonly driver: string;
  /** `broker`: it outlives every process. */
  readonly stored: "broker" | "not-durable";
  /** Undefined outside every stream. */
  readonly stream: string | undefined;
  /** Opaque, for people and logs; `streams.positions` gives what `from` takes. */
  readonly position: string | undefined;
  /** The broker had it already, from an earlier try with this id. */
  readonly duplicate: boolean;
}

/** Of one item of `publishMany`. */
export type PublishOutcome =
  | { readonly ok: true; readonly receipt: Receipt }
  | { readonly ok: false; readonly id: string; readonly error: Error };
