/**
 * What a log must hold, said as plainly as possible, for tests: arrays and loops, and a reader of the files that
 * knows nothing but that they are lines of JSON. Shares no code with the log. State: everything ever committed.
 */

export interface NaiveStream {
  readonly name: string
  readonly partitions: number
  readonly count: number
  readonly timeMs: number
  readonly latenessMs: number
  readonly hasIdField: boolean
}

export interface NaiveRequest {
  readonly stream: string
  readonly events: readonly {
    readonly partition: number
    readonly json: string
    readonly id?: string
    readonly timeUs?: number
  }[]
  readonly dead: readonly { readonly code: string; readonly raw: string }[]
}

export interface NaiveEvent {
  readonly commit: number
  readonly index: number
  readonly stream: string
  readonly partition: number
  readonly offset: number
  readonly json: string
}

export interface NaiveCommit {
  readonly commit: number
  readonly timeMs: number
  readonly events: readonly NaiveEvent[]
  readonly dead: readonly { readonly stream: string; readonly code: string; readonly raw: string }[]
  /** Per stream accepted, duplicate, rejected; after this commit. */
  readonly counts: Readonly<Record<string, readonly [number, number, number]>>
  readonly watermarks: Readonly<Record<string, number>>
  readonly late: Readonly<Record<string, number>>
  readonly offsets: Readonly<Record<string, readonly number[]>>
}

export interface NaiveAnswer {
  readonly accepted: number
  readonly duplicates: number
  readonly conflicts: number
}

export class NaiveLog {
  readonly streams: readonly NaiveStream[]
  readonly commits: NaiveCommit[] = []
  /** Every accepted event with an id, in order. */
  readonly seen: {
    readonly stream: string
    readonly id: string
    readonly json: string
    readonly timeMs: number
  }[] = []

  constructor(streams: readonly NaiveStream[]) {
    this.streams = streams
  }

  /** The next commit with these requests at this time, and the answers; not yet added. */
  predict(requests: readonly NaiveRequest[], timeMs: number) {
    const before = this.commits.at(-1)
    const commit = this.commits.length + 1
    const counts = structuredClone((before?.counts ?? {}) as Record<string, [number, number, number]>)
    const watermarks: Record<string, number> = { ...before?.watermarks }
    const offsets = structuredClone((before?.offsets ?? {}) as Record<string, number[]>)
    const seen = [...this.seen]
    const events: NaiveEvent[] = []
    const dead: { stream: string; code: string; raw: string }[] = []
    const answers: NaiveAnswer[] = []
    const times: { stream: string; timeUs: number }[] = []
    for (const request of requests) {
      const stream = this.streams.find((candidate) => candidate.name === request.stream)!
      counts[stream.name] ??= [0, 0, 0]
      offsets[stream.name] ??= new Array<number>(stream.partitions).fill(0)
      const count = counts[stream.name]!
      const next = offsets[stream.name]!
      const answer = { accepted: 0, duplicates: 0, conflicts: 0 }
      for (const event of request.events) {
        const remembered = seen
          .filter((entry) => entry.stream === stream.name)
          .slice(-stream.count)
          .filter((entry) => timeMs - entry.timeMs <= stream.timeMs)
        const same = event.id === undefined ? undefined : remembered.find((entry) => entry.id === event.id)
        if (same !== undefined && same.json === event.json) {
          count[1]++
          answer.duplicates++
          continue
        }
        if (same !== undefined) {
          dead.push({ stream: stream.name, code: 'EVENT_ID_CONFLICT', raw: event.json })
          count[2]++
          answer.conflicts++
          continue
        }
        const offset = next[event.partition]!++
        const { partition, json } = event
        events.push({ commit, index: events.length, stream: stream.name, partition, offset, json })
        if (event.id !== undefined) seen.push({ stream: stream.name, id: event.id, json, timeMs })
        count[0]++
        answer.accepted++
        if (event.timeUs !== undefined) {
          times.push({ stream: stream.name, timeUs: event.timeUs })
          const watermark = event.timeUs - stream.latenessMs * 1000
          watermarks[stream.name] = Math.max(watermarks[stream.name] ?? Number.NEGATIVE_INFINITY, watermark)
        }
      }
      for (const { code, raw } of request.dead) {
        dead.push({ stream: stream.name, code, raw })
        count[2]++
      }
      answers.push(answer)
    }
    const late: Record<string, number> = { ...before?.late }
    for (const { stream, timeUs } of times) {
      late[stream] = (late[stream] ?? 0) + (timeUs < watermarks[stream]! ? 1 : 0)
    }
    const made: NaiveCommit = { commit, timeMs, events, dead, counts, watermarks, late, offsets }
    return { made, answers, seen }
  }

  add({ made, seen }: ReturnType<NaiveLog['predict']>): void {
    this.commits.push(made)
    this.seen.splice(0, this.seen.length, ...seen)
  }
}

/** A commit as it stands in the files. */
export interface FoundCommit {
  readonly header: {
    readonly commit: number
    readonly t: number
    readonly n: number
    readonly offsets: Readonly<Record<string, readonly number[]>>
    readonly wm: Readonly<Record<string, number>>
    readonly counts: Readonly<Record<string, readonly [number, number, number]>>
  }
  readonly lines: readonly string[]
}

/** All commits in segment files, given in order; what a later file says is not valid in an earlier one is left out. */
export function readNaively(files: readonly Buffer[]): readonly FoundCommit[] {
  const found: { header: FoundCommit['header']; lines: string[] }[] = []
  for (const [i, file] of files.entries()) {
    const next = files[i + 1]
    const valid =
      next === undefined ? file.byteLength : JSON.parse(next.toString().split('\n')[0]!).prev.bytes
    for (const line of file.subarray(0, valid).toString('utf8').split('\n')) {
      if (line === '') continue
      const value = JSON.parse(line)
      if (value.segment !== undefined) continue
      if (value.commit !== undefined) found.push({ header: value, lines: [] })
      else found.at(-1)!.lines.push(line)
    }
  }
  return found
}

/** How a commit differs from what was expected; undefined when it does not. */
export function difference(found: FoundCommit, expected: NaiveCommit): string | undefined {
  const { header, lines } = found
  if (header.commit !== expected.commit) return `commit ${header.commit} instead of ${expected.commit}`
  if (header.n !== expected.events.length) {
    return `${header.n} events instead of ${expected.events.length} in commit ${header.commit}`
  }
  const texts = lines.filter((line) => !line.includes(',"dead":'))
  for (const [i, event] of expected.events.entries()) {
    const { commit, index, partition, offset, stream, json } = event
    const head = `{"c":${commit},"i":${index},"p":${partition},"o":${offset},`
    const tail = `"${stream}":${json}}`
    if (!texts[i]?.startsWith(head) || !texts[i]?.endsWith(tail))
      return `line ${texts[i]} is not ${head}…${tail}`
  }
  const dead = lines.filter((line) => line.includes(',"dead":')).map((line) => JSON.parse(line).dead)
  const deadText = JSON.stringify(dead.map(({ stream, code, raw }) => ({ stream, code, raw })))
  if (deadText !== JSON.stringify(expected.dead)) return `dead letters ${deadText}`
  for (const [stream, counts] of Object.entries(header.counts)) {
    if (JSON.stringify(counts) !== JSON.stringify(expected.counts[stream]))
      return `counts of ${stream}: ${counts}`
    if (JSON.stringify(header.offsets[stream]) !== JSON.stringify(expected.offsets[stream])) {
      return `offsets of ${stream}: ${header.offsets[stream]}`
    }
  }
  return undefined
}
