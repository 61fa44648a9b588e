/**
 * Structured log lines of the process, on stderr: for people on a terminal, or one JSON object a line for
 * programs. State: none but the stream it writes to. Data for the user never goes this way; stdout is theirs.
 */

import { type Clock, systemClock } from './clock.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>

export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

export interface LoggerOptions {
  readonly form: 'human' | 'json'
  /** Lines below this level are left out. Default: info. */
  readonly level?: LogLevel
  readonly clock?: Clock
  /** Takes one line with its line end. Default: stderr. */
  readonly write?: (line: string) => void
}

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 }

export function createLogger(options: LoggerOptions): Logger {
  const { form, level: lowest = 'info', clock = systemClock } = options
  const write = options.write ?? ((line: string) => void process.stderr.write(line))
  const log = (level: LogLevel, message: string, fields: LogFields = {}) => {
    if (RANK[level] < RANK[lowest]) return
    const time = new Date(clock.nowMs()).toISOString()
    write(form === 'json' ? jsonLine(time, level, message, fields) : humanLine(time, level, message, fields))
  }
  return {
    debug: (message, fields) => log('debug', message, fields),
    info: (message, fields) => log('info', message, fields),
    warn: (message, fields) => log('warn', message, fields),
    error: (message, fields) => log('error', message, fields),
  }
}

/** Says nothing: the default of everything that may run inside another program. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }

function jsonLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  return `${JSON.stringify({ time, level, message, ...fields })}\n`
}

function humanLine(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const tail = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}=${typeof value === 'string' ? JSON.stringify(value) : value}`)
    .join('')
  return `${time.slice(11, 23)} ${level.padEnd(5)} ${message}${tail}\n`
}
