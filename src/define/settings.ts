/**
 * The settings of a project with their defaults and units. Durations and sizes come as numbers or texts; a bad value
 * is reported with its path and the default stands in, so that all are found at once. Pure.
 */

import { availableParallelism } from 'node:os'
import path from 'node:path'
import { defaultIngestLimits } from '../model/limits.ts'
import type { ProjectOptions } from './spec.ts'
import type {
  EngineTuning,
  HistorySettings,
  LimitSettings,
  SealSettings,
  ServerSettings,
  VerifySettings,
} from './types.ts'

export type ReportSetting = (path: readonly string[], message: string, hint: string) => void

export interface Settings {
  readonly name: string
  readonly dataDir: string
  readonly server: ServerSettings
  readonly engine: EngineTuning
  readonly seal: SealSettings
  readonly history: HistorySettings
  readonly verify?: VerifySettings
  readonly warmMs: number
  readonly limits: LimitSettings
}

const MIB = 1024 * 1024
const DAY_MS = 86_400_000

export function resolveSettings(options: ProjectOptions, root: string, report: ReportSetting): Settings {
  const read = settingReader(options, report)
  const server = serverSettings(options, read, report)
  const settings: Settings = {
    name: read.text(['name'], path.basename(root)),
    dataDir: path.resolve(root, read.text(['data'], '.refold')),
    server,
    engine: {
      memoryBytes: read.size(['engine', 'memory'], 2_000_000_000, 128_000_000),
      threads: read.count(['engine', 'threads'], Math.min(availableParallelism(), 16), 1, 256),
      statementTimeoutMs: read.duration(['engine', 'statementTimeout'], 30_000, 1),
      heavyStatements: read.count(
        ['engine', 'heavyStatements'],
        Math.max(1, availableParallelism() - 1),
        1,
        64,
      ),
    },
    seal: {
      rows: read.count(['seal', 'rows'], 1_000_000, 1, Number.MAX_SAFE_INTEGER),
      bytes: read.size(['seal', 'bytes'], 256_000_000, 1),
      ageMs: read.duration(['seal', 'age'], 60_000, 1),
    },
    history: {
      quickMs: read.duration(['history', 'quick'], DAY_MS, 60_000),
      fineMs: read.duration(['history', 'fine'], 30 * DAY_MS, 60_000),
    },
    ...verifySettings(options, read, report),
    warmMs: read.duration(['warm'], DAY_MS, 0),
    limits: {
      eventBytes: read.size(['limits', 'eventBytes'], defaultIngestLimits.eventBytes, 2),
      requestBytes: read.size(['limits', 'requestBytes'], defaultIngestLimits.requestBytes, 2),
      expandedBytes: read.size(['limits', 'expandedBytes'], defaultIngestLimits.expandedBytes, 2),
      depth: read.count(['limits', 'depth'], defaultIngestLimits.depth, 1, 1000),
      requestEvents: read.count(
        ['limits', 'requestEvents'],
        defaultIngestLimits.requestEvents,
        1,
        10_000_000,
      ),
      queueBytes: read.size(['limits', 'queueBytes'], 64 * MIB, 1),
    },
  }
  return settings
}

const VERIFY_EVERY_MS_MIN = 1_000

function verifySettings(
  { verify }: ProjectOptions,
  read: SettingReader,
  report: ReportSetting,
): { readonly verify?: VerifySettings } {
  if (verify === undefined) return {}
  const everyMs = read.duration(['verify', 'every'], DAY_MS, VERIFY_EVERY_MS_MIN)
  const sample: unknown = verify?.sample
  const isShare = typeof sample === 'number' && sample > 0 && sample <= 1
  if (sample !== undefined && !isShare) {
    const message = `the value ${shown(sample)} is not a share, above 0 and at most 1`
    report(['verify', 'sample'], message, 'Leave it out to look at everything.')
  }
  return { verify: { everyMs, ...(isShare ? { sample } : {}) } }
}

function serverSettings(options: ProjectOptions, read: SettingReader, report: ReportSetting): ServerSettings {
  const token: unknown = options.server?.token
  if (token !== undefined && (typeof token !== 'string' || token === '')) {
    report(['server', 'token'], 'the token is not a text', 'Leave it out, or use a long random text.')
  }
  return {
    host: read.text(['server', 'host'], '127.0.0.1'),
    port: read.count(['server', 'port'], 7717, 0, 65_535),
    ...(typeof token === 'string' && token !== '' ? { token } : {}),
  }
}

export interface SettingReader {
  text(path: readonly string[], fallback: string): string
  count(path: readonly string[], fallback: number, min: number, max: number): number
  size(path: readonly string[], fallback: number, min: number): number
  duration(path: readonly string[], fallback: number, min: number): number
  flag(path: readonly string[], fallback: boolean): boolean
}

/** Reads settings by path from what a user wrote. */
export function settingReader(options: object, report: ReportSetting): SettingReader {
  const valueAt = (names: readonly string[]): unknown => {
    let value: unknown = options
    for (const name of names) value = (value as Readonly<Record<string, unknown>> | null | undefined)?.[name]
    return value
  }
  const numeric =
    (parse: (value: unknown) => number | undefined, wanted: string) =>
    (names: readonly string[], fallback: number, min: number, max = Number.MAX_SAFE_INTEGER): number => {
      const value = valueAt(names)
      if (value === undefined) return fallback
      const parsed = parse(value)
      if (parsed !== undefined && parsed >= min && parsed <= max) return parsed
      const bounds = max === Number.MAX_SAFE_INTEGER ? `at least ${min}` : `from ${min} to ${max}`
      report(names, `the value ${shown(value)} is not ${wanted}, ${bounds}`, `Leave it out for ${fallback}.`)
      return fallback
    }
  return {
    text: (names, fallback) => {
      const value = valueAt(names)
      if (value === undefined) return fallback
      if (typeof value === 'string' && value !== '') return value
      report(names, `the value ${shown(value)} is not a text`, `Leave it out for "${fallback}".`)
      return fallback
    },
    flag: (names, fallback) => {
      const value = valueAt(names)
      if (value === undefined) return fallback
      if (typeof value === 'boolean') return value
      report(names, `the value ${shown(value)} is neither true nor false`, `Leave it out for ${fallback}.`)
      return fallback
    },
    count: numeric((value) => (Number.isInteger(value) ? (value as number) : undefined), 'a whole number'),
    size: numeric(parseSize, 'a size in bytes or such as "256MB"'),
    duration: numeric(parseDuration, 'a duration in milliseconds or such as "15m"'),
  }
}

const sizeUnits: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 1024,
  MiB: MIB,
  GiB: 1024 * MIB,
  TiB: MIB * MIB,
}

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Bytes, or undefined. */
export function parseSize(value: unknown): number | undefined {
  return parseWithUnit(value, sizeUnits)
}

/** Milliseconds, or undefined. */
export function parseDuration(value: unknown): number | undefined {
  return parseWithUnit(value, durationUnits)
}

function parseWithUnit(value: unknown, units: Readonly<Record<string, number>>): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? value : undefined
  if (typeof value !== 'string') return undefined
  const match = /^(\d{1,15}(?:\.\d{1,6})?) ?([A-Za-z]+)$/.exec(value.trim())
  const unit = Object.hasOwn(units, match?.[2] ?? '') ? units[match?.[2] ?? ''] : undefined
  if (match === null || unit === undefined) return undefined
  const product = Math.round(Number(match[1]) * unit)
  return Number.isSafeInteger(product) ? product : undefined
}

function shown(value: unknown): string {
  return JSON.stringify(value) ?? String(value)
}
