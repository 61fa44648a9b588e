/** What the HTTP server is started with. Pure data and their defaults, no state. */

import { RefoldError } from '../model/errors.ts'
import { defaultIngestLimits, type IngestLimits } from '../model/limits.ts'
import { type Clock, systemClock } from '../std/clock.ts'
import { type Logger, silentLogger } from '../std/logger.ts'

export interface HttpSettings {
  /** Name or address to listen on; anything but loopback needs a token. */
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  /** When set, every route but /healthz, /readyz and /metrics asks for it as `Authorization: Bearer`. */
  readonly token?: string
  readonly limits?: IngestLimits
  /** Bytes of bodies that may be held at once over all requests; above it requests get 429. Default 512 MiB. */
  readonly bodyBytesMax?: number
  /** Rows in one answer, whatever `limit` says. Default 100,000. */
  readonly rowsMax?: number
  /** Longest `timeout` a request may ask for. Default 10 min. */
  readonly timeoutMsMax?: number
  /** Deadline of the query behind /readyz. Default 2 s. */
  readonly probeTimeoutMs?: number
  /** Silence after which an endless answer gets an empty line. Default 15 s. */
  readonly heartbeatMs?: number
  /** How long answers under way may take once the server stops. Default 10 s. */
  readonly stopGraceMs?: number
  readonly logger?: Logger
  readonly clock?: Clock
}

/** All settings, with their defaults. */
export type FullHttpSettings = Required<Omit<HttpSettings, 'token'>> & Pick<HttpSettings, 'token'>

/** Fills in defaults; throws SERVER_NEEDS_TOKEN where others could reach a server that asks nobody for a token. */
export function fullHttpSettings(settings: HttpSettings): FullHttpSettings {
  const { host, token } = settings
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new RefoldError(
      'SERVER_NEEDS_TOKEN',
      'the token is empty or has other than visible ASCII characters',
    )
  }
  if (token === undefined && !isLoopback(host)) {
    throw new RefoldError(
      'SERVER_NEEDS_TOKEN',
      `host "${host}" is reachable from other machines, and there is no token`,
    )
  }
  return {
    limits: defaultIngestLimits,
    bodyBytesMax: 512 * 1024 * 1024,
    rowsMax: 100_000,
    timeoutMsMax: 600_000,
    probeTimeoutMs: 2_000,
    heartbeatMs: 15_000,
    stopGraceMs: 10_000,
    logger: silentLogger,
    clock: systemClock,
    ...settings,
  }
}

/** Whether a host name or address always means this machine. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i.test(host)
}
