/**
 * For tests of functions in TypeScript: sensor readings, a project in a folder of its own, its server whole and in this
 * process, with real engines and workers. What was sent is kept, so that a test works out by itself what it expects.
 */

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { loadProject } from '../../src/define/load.ts'
import type { ProjectDef } from '../../src/define/types.ts'
import type { DeployInfo, DeployOptions } from '../../src/deploy/types.ts'
import type { PreparedEvent } from '../../src/log/types.ts'
import { openServer, type RunningServer, type ServerOptions } from '../../src/server/open-server.ts'
import { deployOptions, type Row } from './shop-server.ts'

export interface Reading {
  readonly id: string
  readonly sensor: string
  /** Seconds since the beginning of 2024-05-01. */
  readonly second: number
  readonly heat: number
  /** Left out: NULL. */
  readonly shake?: number
}

export const READINGS = `import { stream } from 'refold'
import { z } from 'zod'

export const readings = stream('readings', {
  schema: z.object({
    id: z.string(), sensor: z.string(), at: z.iso.datetime(), heat: z.number(), shake: z.number().optional(),
  }),
  id: 'id', key: 'sensor', time: 'at', partitions: 2,
})
`

/** A project file with these functions (by module and name) and views (by name and SQL). */
export function projectFile(
  functions: Readonly<Record<string, string>>,
  views: Readonly<Record<string, string>>,
  more = '',
): string {
  const imports = Object.entries(functions).map(([name, file]) => `import { ${name} } from '${file}'`)
  const made = Object.entries(views).map(([name, sql]) => `view('${name}', { sql: \`${sql}\`${more} })`)
  return `import { project, view } from 'refold'
import { readings } from './readings.ts'
${imports.join('\n')}

export default project({
  streams: [readings],
  functions: [${Object.keys(functions).join(', ')}],
  views: [${made.join(', ')}],
})
`
}

export class SensorServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'refold-sensors-'))
  readonly sent: Reading[] = []
  project: ProjectDef | undefined
  #server: RunningServer | undefined
  #nextId = 0

  get server(): RunningServer {
    assert.ok(this.#server !== undefined, 'the server runs')
    return this.#server
  }

  /** Writes files of the project, by their path within it. */
  write(files: Readonly<Record<string, string>>): void {
    for (const [name, text] of Object.entries({ 'readings.ts': READINGS, ...files })) {
      const file = join(this.folder, name)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, text)
    }
  }

  /** Loads the project as it is on disk; the first mistake is thrown. */
  async load(): Promise<ProjectDef> {
    const loaded = await loadProject(this.folder)
    if (!loaded.ok) throw loaded.mistakes[0]
    const engine = { memoryBytes: 512 << 20, threads: 2, statementTimeoutMs: 30_000, heavyStatements: 2 }
    const seal = { rows: 1e9, bytes: 1e12, ageMs: 1e9 }
    this.project = { ...loaded.project, dataDir: join(this.folder, 'data'), engine, seal }
    return this.project
  }

  async open(options: ServerOptions = {}): Promise<void> {
    const project = this.project ?? (await this.load())
    this.#server = await openServer(project, { http: false, views: 'deployed', ...options })
  }

  async close(): Promise<void> {
    await this.#server?.close()
    this.#server = undefined
  }

  async dispose(): Promise<void> {
    await this.close()
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  }

  /** Sends readings as one commit; answers its cut. */
  async send(given: readonly Omit<Reading, 'id'>[]): Promise<number> {
    const readings = given.map((reading) => ({ ...reading, id: `r${this.#nextId++}` }))
    const events = readings.map((reading, index): PreparedEvent => {
      const { id, sensor, second, heat, shake } = reading
      const at = `${new Date(Date.UTC(2024, 4, 1) + second * 1000).toISOString().slice(0, 19)}Z`
      const json = JSON.stringify({ id, sensor, at, heat, ...(shake === undefined ? {} : { shake }) })
      return { stream: 'readings', partition: index % 2, json, timeUs: Date.parse(at) * 1000, id, index }
    })
    const append = { stream: 'readings', events, deadLetters: [], bytes: readings.length * 100 }
    const { cut } = await this.server.core.append(append)
    this.sent.push(...readings)
    return cut
  }

  /** The view's rows at a cut, or a later one. */
  async rows(view: string, after?: number): Promise<Row[]> {
    const read = { view, where: {}, order: [], limit: 100_000 }
    const answer = await this.server.core.readView(read, after === undefined ? {} : { after })
    return JSON.parse(answer.json) as Row[]
  }

  async sql(text: string): Promise<Row[]> {
    return JSON.parse((await this.server.core.sql({ sql: text, limit: 100_000 }, {})).json) as Row[]
  }

  /** Deploys the project as it is on disk now. */
  async deploy(options: Partial<DeployOptions> = {}): Promise<DeployInfo> {
    const { deploys } = this.server
    const { id } = await deploys.deploy(await this.load(), deployOptions(options), { who: 'tester' })
    return await deploys.settled(id)
  }

  /** Seals the tail of every view and moves the log to the lake. */
  flush(): Promise<void> {
    return this.server.flush()
  }
}
