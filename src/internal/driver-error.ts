/** What a driver throws or passes to `failed` when it found the reason itself; `classify` gives its code back. */
export class DriverError extends Error {
  /** A `BusErrorCode`. */
  readonly code: string;
  readonly retryable: boolean;

  constructor(code: string, message: string, options: { readonly retryable?: boolean; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}
