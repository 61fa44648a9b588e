/**
 * For tests of logic in TypeScript: a project in a folder of its own, its server whole and in this process, with real
 * engines and workers. Beside it what was sent, from which a test works out what it expects by itself. State: both.
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

export interface Click {
  readonly id: string
  readonly user: string
  readonly page: string
  /** Seconds since the beginning of 2024-05-01. */
  readonly second: number
  readonly amount: string
}

interface SentClick extends Click {
  readonly cut: number
  readonly index: number
}

export const CLICKS = `import { decimal, int64, project, stream } from 'refold'
import { z } from 'zod'

export const clicks = stream('clicks', {
  schema: z.object({
    id: z.string(), user: z.string(), page: z.string(), at: z.iso.datetime(), amount: decimal(18, 2), big: int64(),
    note: z.string().optional(),
  }),
  id: 'id', key: 'user', time: 'at', partitions: 2,
})
`

export class FoldServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'refold-fold-'))
  readonly sent: SentClick[] = []
  project: ProjectDef | undefined
  #server: RunningServer | undefined
  #nextId = 0

  get server(): RunningServer {
    assert.ok(this.#server !== undefined, 'the server runs')
    return this.#server
  }

  /** Writes files of the project, by their path within it. */
  write(files: Readonly<Record<string, string>>): void {
    for (const [name, text] of Object.entries(files)) {
      const file = join(this.folder, name)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, text)
    }
  }

  /** Loads the project as it is on disk; mistakes are thrown. */
  async load(change: Partial<ProjectDef> = {}): Promise<ProjectDef> {
    const loaded = await loadProject(this.folder)
    if (!loaded.ok) throw loaded.mistakes[0]
    const engine = { memoryBytes: 512 << 20, threads: 2, statementTimeoutMs: 30_000, heavyStatements: 2 }
    const seal = { rows: 1e9, bytes: 1e12, ageMs: 1e9 }
    const dataDir = join(this.folder, 'data')
    this.project = { ...loaded.project, dataDir, engine, seal, ...change }
    return this.project
  }

  async open(options: ServerOptions = {}, change: Partial<ProjectDef> = {}): Promise<void> {
    const project = this.project ?? (await this.load(change))
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

  /** Sends clicks as one commit; answers its cut. */
  async send(clicks: readonly Omit<Click, 'id'>[]): Promise<number> {
    const given = clicks.map((click) => ({ ...click, id: `c${this.#nextId++}` }))
    const events = given.map((click, index): PreparedEvent => {
      const at = timeOf(click.second)
      const { id, user, page, amount } = click
      const big = `${9_007_199_254_740_000n + BigInt(click.second)}`
      const json = `{"id":${JSON.stringify(id)},"user":${JSON.stringify(user)},"page":${JSON.stringify(page)},"at":"${at}","amount":"${amount}","big":${big}}`
      return { stream: 'clicks', partition: index % 2, json, timeUs: Date.parse(at) * 1000, id, index }
    })
    const append = { stream: 'clicks', events, deadLetters: [], bytes: given.length * 100 }
    const { cut } = await this.server.core.append(append)
    this.sent.push(...given.map((click, index) => ({ ...click, cut, index })))
    return cut
  }

  /** The view's rows at a cut, or a later one. */
  async rows(view: string, after?: number, where: Readonly<Record<string, string>> = {}): Promise<Row[]> {
    const read = { view, where, order: [], limit: 100_000 }
    const answer = await this.server.core.readView(read, after === undefined ? {} : { after })
    return JSON.parse(answer.json) as Row[]
  }

  /** Which version answers for a view. */
  async version(view: string): Promise<string> {
    const answer = await this.server.core.readView({ view, where: {}, order: [], limit: 1 }, {})
    return answer.versions[view] ?? ''
  }

  async sql(text: string): Promise<Row[]> {
    return JSON.parse((await this.server.core.sql({ sql: text, limit: 100_000 }, {})).json) as Row[]
  }

  async deploy(project: ProjectDef, options: Partial<DeployOptions> = {}): Promise<DeployInfo> {
    const { deploys } = this.server
    const { id } = await deploys.deploy(project, deployOptions(options), { who: 'tester', source: 'abc' })
    return await deploys.settled(id)
  }

  /** Seals the tail of every view and moves the log to the lake. */
  flush(): Promise<void> {
    return this.server.flush()
  }
}

export function timeOf(second: number): string {
  return `${new Date(Date.UTC(2024, 4, 1) + second * 1000).toISOString().slice(0, 19)}Z`
}
