/**
 * The limits of a request that brings events, checked before anything is parsed. Pure data, no state.
 */

export interface IngestLimits {
  /** Bytes of a request's body as sent. */
  readonly requestBytes: number
  /** Bytes of a body after gzip was undone. */
  readonly expandedBytes: number
  /** Events in one request. */
  readonly requestEvents: number
  /** Bytes of one event's source text. */
  readonly eventBytes: number
  /** How deep arrays and objects may be nested in one event; the event itself is 1. */
  readonly depth: number
}

export const defaultIngestLimits: IngestLimits = {
  requestBytes: 32 * 1024 * 1024,
  expandedBytes: 256 * 1024 * 1024,
  requestEvents: 100_000,
  eventBytes: 1024 * 1024,
  depth: 64,
}
