/** What the HTTP surface asks of the lake, led to the parts that answer it. No state. */

import { lakeManifest } from '../../catalog/lake.ts'
import { trims } from '../../catalog/trims.ts'
import type { JsonValue } from '../../model/schema.ts'
import type { CoreLake } from '../../serve/core-lake.ts'
import type { ServerContext } from '../context.ts'
import { serverBackup } from './backup-manifest.ts'
import { checkServerLake } from './lake-check.ts'
import type { LakeTrimming } from './trimming.ts'

export function createLakeCore(context: ServerContext, trimming: LakeTrimming): CoreLake {
  return {
    list: () => lakeList(context),
    check: () => checkServerLake(context),
    trim: (request) => trimming.trim(request),
    backup: (options) => serverBackup(context, options),
  }
}

function lakeList({ catalog, streams, folder, log }: ServerContext): JsonValue {
  const { through, files } = lakeManifest(catalog)
  const trimmed = trims(catalog)
  const names = [
    ...new Set([...streams().map(({ name }) => name), ...files.map(({ stream }) => stream)]),
  ].sort()
  return {
    folder: folder.lake,
    through,
    hotFrom: log.manifest().segments[0]?.base ?? 0,
    cut: log.state().cut.commit,
    streams: names.map((name) => {
      const own = files.filter(({ stream }) => stream === name)
      const trim = trimmed.find(({ stream }) => stream === name)
      return {
        stream: name,
        from: trim?.cut ?? 0,
        files: own.length,
        rows: own.reduce((sum, { rows }) => sum + rows, 0),
        bytes: own.reduce((sum, { bytes }) => sum + bytes, 0),
        ...(trim === undefined
          ? {}
          : {
              trimmed: {
                ...{ cut: trim.cut, events: trim.events, offsets: [...trim.offsets], reason: trim.reason },
                until: isoTime(trim.untilMs),
                at: isoTime(trim.timeMs),
              },
            }),
        list: own.map((file) => ({
          ...{ from: file.from, to: file.to, rows: file.rows, bytes: file.bytes, path: file.path },
          offsets: file.offsets.map(({ from, to }) => [from, to]),
          firstAt: isoTime(file.times?.ingested[0] ?? null),
          lastAt: isoTime(file.times?.ingested[1] ?? null),
          eventsFrom: eventTime(file.times?.events?.[0]),
          eventsTo: eventTime(file.times?.events?.[1]),
        })),
      }
    }),
  }
}

function isoTime(timeMs: number | null): string | null {
  return timeMs === null ? null : new Date(timeMs).toISOString()
}

function eventTime(timeUs: number | undefined): string | null {
  return timeUs === undefined ? null : new Date(Math.floor(timeUs / 1000)).toISOString()
}
