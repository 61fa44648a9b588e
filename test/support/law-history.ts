/**
 * A random history of a server, and what must hold after each step of it. The expected side is the user's SQL in plain
 * DuckDB over the events that were acknowledged, up to the answer's cut. State: the server, what was sent, which
 * versions answer as far as deploys and rollbacks said so, and answers that are asked for again later.
 */

import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RunDef } from '../../src/define/types.ts'
import type { DeployInfo, DeployOptions } from '../../src/deploy/types.ts'
import { LawEvents, type StreamName } from './law-events.ts'
import { LawFollower } from './law-follower.ts'
import { randomLambda, randomRun } from './law-runs.ts'
import { LawServer, Refused, ServerGone } from './law-server.ts'
import {
  changedProject,
  changedRuns,
  definitionKey,
  firstProject,
  holdingProject,
  LATENESS_MS,
  projectDef,
  type ShopProject,
  viewKinds,
  viewSql,
} from './law-shop.ts'
import { type Cell, cellsOf, sorted } from './oracle.ts'

interface Answer {
  readonly cut: number
  readonly at: string
  readonly version?: string
  readonly versions?: Readonly<Record<string, string>>
  readonly batches?: Readonly<Record<string, { readonly cut: number }>>
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly rows: readonly Record<string, unknown>[]
}

interface Definition {
  readonly view: string
  readonly sql: string
  readonly variant: number
  readonly salt: number
}

/** An answer that was given, for asking again. */
interface Taken {
  readonly path: string
  readonly body?: unknown
  readonly answer: Answer
  /** From the columns on, byte by byte. */
  readonly bytes: string
}

const options = {
  segments: { rollBytes: 30_000, moveAgeMs: 1_500 },
  historyCheckMs: 1_000,
  retentionCheckMs: 1_000,
}
const BOTH = `SELECT (SELECT n FROM totals) AS totals, (SELECT sum(n) FROM by_user)::BIGINT AS users`
const open = ['planned', 'building', 'catching_up', 'comparing']
const HANG_MS = 180_000

export class LawHistory {
  readonly server = new LawServer()
  readonly events: LawEvents
  /** Published ones. */
  batches = 0
  readonly #random: () => number
  /** `view@version` → what it is by the text that was deployed. */
  readonly #definitions = new Map<string, Definition>()
  readonly #versionOf = new Map<string, string>()
  readonly #serving = new Map<string, string>()
  /** Tables of pointers that ever answered, as texts. */
  readonly #tables: ReadonlyMap<string, string>[] = []
  readonly #taken: Taken[] = []
  readonly #statements: Taken[] = []
  readonly #followers: LawFollower[] = []
  readonly #did: Record<string, number> = {}
  #refunds = true
  #level = 0
  #trimmed: Partial<Record<StreamName, number>> = {}
  #running = true
  #quiet = false
  #restarting: Promise<void> | undefined
  #loops: Promise<void>[] = []
  #failed: unknown

  /** How views run that do not run as kappa. */
  readonly #runs = new Map<string, RunDef>()
  readonly #moves: boolean

  /** `moves`: deploys also change how views run. */
  constructor(random: () => number, { moves = false }: { readonly moves?: boolean } = {}) {
    this.#random = random
    this.#moves = moves
    this.events = new LawEvents(this.server, random)
  }

  async begin(): Promise<void> {
    this.#deployed = this.#moves ? changedRuns(this.#random, holdingProject, randomLambda) : firstProject
    const def = projectDef(this.server.folder, this.#deployed)
    await this.server.start(def, options)
    const [first] = await this.#deploys()
    assert.equal(first?.state, 'live')
    this.#note(this.#deployed, first!)
    this.#moved(first!)
    this.#loops = [this.#sendAlways(), this.#askAlways()].map((loop) =>
      loop.catch((error: unknown) => {
        this.#failed ??= error
      }),
    )
    for (const view of ['by_user', 'totals']) {
      const follower = new LawFollower(this.server, view, () => this.#up())
      this.#followers.push(follower)
      this.#loops.push(
        follower.run().catch((error: unknown) => {
          this.#failed ??= error
        }),
      )
    }
    await this.#check()
  }

  async end(): Promise<void> {
    this.#running = false
    for (const follower of this.#followers) follower.stop()
    await Promise.all(this.#loops)
    this.events.close()
    await this.server.dispose()
  }

  summary(): string {
    const did = Object.entries(this.#did).map(([what, times]) => `${what} ${times}`)
    return `${this.events.cut} commits, ${this.batches} batches, ${this.#definitions.size} versions, ${this.#taken.length} answers asked for again; ${did.join(', ')}`
  }

  // ---- steps

  /** Kills the server at a named point, by doing what leads there. */
  async killedAt(point: string): Promise<void> {
    const { server } = this
    await this.#up()
    server.arm([point])
    const before = server.epoch
    for (let attempt = 0; attempt < 6 && !server.diedAt.has(point); attempt++) await this.#leadTo(point)
    if (server.epoch === before) server.arm([])
    const led = performance.now()
    await this.#settle()
    const settled = performance.now()
    await this.#check(false)
    if (process.env['REFOLD_TALK'] !== undefined)
      console.log(
        `  ${point}: settled ${Math.round(settled - led)}, checked ${Math.round(performance.now() - settled)} ms`,
      )
  }

  async #leadTo(point: string): Promise<void> {
    await this.events.send('orders', 30, () => this.#up())
    if (/^(slices|lake\.(staged|renamed|published|dropped))/.test(point))
      await this.#tried(() => this.server.flush())
    else if (/^(trim|lake)/.test(point)) {
      await this.#tried(() => this.server.flush())
      await this.#tried(() => this.#trim())
    } else if (point.startsWith('rollback')) {
      await this.#deploy({ changes: true })
      await this.#rollback()
    } else if (point.startsWith('batch')) {
      // A view moves to lambda by its first batch.
      await this.#deploy({ moves: () => ({ kind: 'kappa' }) })
      await this.#deploy({ moves: randomLambda })
    } else if (point === 'warm.ended') {
      await this.#deploy({ changes: true, options: { warmMs: 1 } })
      await sleep(1_200)
    } else {
      // A history in the lake is folded in bulk.
      if (point.startsWith('build')) await this.#tried(() => this.server.flush())
      await this.#deploy({ changes: true })
    }
  }

  async step(): Promise<void> {
    const kinds: Readonly<Record<string, readonly [weight: number, run: () => Promise<void>]>> = {
      deploy: [6, () => this.#deploy({})],
      move: [this.#moves ? 10 : 0, () => this.#deploy({ moves: randomRun })],
      batch: [this.#moves ? 3 : 0, () => this.#batch()],
      'deploy in trouble': [6, () => this.#troubledDeploy()],
      rollback: [3, () => this.#rollback()],
      flush: [2, () => this.#tried(() => this.server.flush())],
      trim: [1, () => this.#tried(() => this.#trim())],
      restart: [1, () => this.server.kill('close')],
      kill: [2, () => this.server.kill()],
      'kill engine': [2, () => this.#killEngine()],
      'lose slices': [2, () => this.#loseSlices()],
      'damage a slice': [1, () => this.#damageSlice()],
      'newer fields': [1, () => this.#newerFields()],
    }
    const total = Object.values(kinds).reduce((sum, [weight]) => sum + weight, 0)
    let dice = this.#random() * total
    for (const [name, [weight, run]] of Object.entries(kinds)) {
      dice -= weight
      if (dice >= 0) continue
      this.#did[name] = (this.#did[name] ?? 0) + 1
      const began = performance.now()
      await run()
      if (process.env['REFOLD_TALK'] !== undefined)
        console.log(`  step ${name} ${Math.round(performance.now() - began)} ms`)
      break
    }
    await this.#settle()
    await this.#check()
  }

  async #deploy({
    changes = false,
    moves,
    options: given = {},
    during,
  }: {
    readonly changes?: boolean
    /** Only how views run is changed. */
    readonly moves?: (random: () => number) => RunDef
    readonly options?: Partial<DeployOptions>
    readonly during?: (id: number) => Promise<void>
  }): Promise<void> {
    const project =
      moves === undefined
        ? this.#nextProject(changes)
        : changedRuns(this.#random, this.#servedProject(), moves)
    const chosen: Partial<DeployOptions> = { ...this.#anyOptions(), ...given }
    const body = {
      project: projectDef(this.server.folder, project),
      options: chosen,
      author: { who: 'laws' },
    }
    this.#deployed = project
    await this.#tried(async () => {
      const { id } = await this.server.post<DeployInfo>('/v1/deploys', body)
      await during?.(id)
    })
    await this.#settle()
  }

  /** What was sent last; whether it was recorded is seen in the list. */
  #deployed: ShopProject = firstProject

  #nextProject(changes: boolean): ShopProject {
    const now = this.#servedProject()
    for (;;) {
      const changed = changedProject(this.#random, now)
      const alsoMoves = this.#moves && this.#random() < 0.4
      const next = alsoMoves ? changedRuns(this.#random, changed, randomRun) : changed
      const isChanged = Object.keys(next.views).some(
        (view) => viewSql(next, view) !== this.#definitions.get(`${view}@${this.#serving.get(view)}`)?.sql,
      )
      const removed = [...this.#serving.keys()].some((view) => next.views[view] === undefined)
      if (!changes || (isChanged && !removed)) return next
    }
  }

  /** What answers, as a project. */
  #servedProject(): ShopProject {
    const views = Object.fromEntries(
      [...this.#serving].map(([view, version]) => {
        const { variant, salt } = this.#definitions.get(`${view}@${version}`)!
        const run = this.#runs.get(view)
        return [view, { variant, salt, ...(run === undefined ? {} : { run }) }]
      }),
    )
    return { level: this.#level, refunds: this.#refunds, views, spaced: false }
  }

  #anyOptions(): Partial<DeployOptions> {
    const dice = this.#random()
    const warmMs = [0, 1, 3_600_000, 3_600_000][Math.floor(this.#random() * 4)] ?? 0
    const accept = this.#random() < 0.4 ? { accept: 'a law allows it' } : {}
    const trimmed = Object.keys(this.#trimmed).length > 0
    const from =
      dice < 0.15
        ? { from: { kind: 'cut' as const, cut: Math.floor(this.#random() * this.events.cut) } }
        : trimmed
          ? { from: { kind: 'trimmed' as const } }
          : {}
    const budget =
      this.#random() < 0.2 ? { budget: { eventsPerSecond: 20_000, cpuShare: 0.7, lagMs: 500 } } : {}
    return { warmMs, ...accept, ...from, ...budget, ...(dice > 0.9 ? { shadow: true } : {}) }
  }

  async #troubledDeploy(): Promise<void> {
    const dice = Math.floor(this.#random() * 6)
    const wait = Math.floor(this.#random() * 400)
    const during = async (id: number): Promise<void> => {
      await sleep(wait)
      if (dice === 0) await this.server.kill()
      else if (dice === 1) await this.#killEngine()
      else if (dice === 2) await this.#steer(id, 'cancel')
      else if (dice === 3) {
        if (!(await this.#steer(id, 'pause'))) return
        await sleep(wait)
        if (this.#random() < 0.5) await this.server.kill('close')
        await this.#up()
        await this.#steer(id, 'resume')
      } else if (dice === 4) await this.#rollback()
      else {
        const body = { project: projectDef(this.server.folder, this.#nextProject(true)) }
        const info = await this.#shown(id)
        if (open.includes(info.state)) {
          await this.#refusedAs(['DEPLOY_OPEN', ''], () =>
            this.server.post('/v1/deploys', { ...body, options: { shadow: true } }),
          )
        }
      }
    }
    await this.#deploy({ during })
  }

  async #shown(id: number): Promise<DeployInfo> {
    return await this.server.get<DeployInfo>(`/v1/deploys/${id}`)
  }

  /** False where the deploy was in another state already. */
  async #steer(id: number, how: string): Promise<boolean> {
    return !(await this.#refusedAs(['DEPLOY_STATE'], () =>
      this.server.post(`/v1/deploys/${id}/${how}`, { reason: 'a test' }),
    ))
  }

  /** Whether it was refused; another refusal than these is none that may be. */
  async #refusedAs(codes: readonly string[], ask: () => Promise<unknown>): Promise<boolean> {
    try {
      await ask()
      return false
    } catch (error) {
      if (error instanceof Refused && codes.includes(error.code)) return true
      throw error
    }
  }

  async #rollback(): Promise<void> {
    await this.#tried(() =>
      this.#refusedAs(['ROLLBACK_IMPOSSIBLE'], () => this.server.post('/v1/rollback', { reason: 'a test' })),
    )
    await this.#up()
  }

  async #trim(): Promise<void> {
    const stream: StreamName = this.#random() < 0.7 ? 'orders' : 'visits'
    const to = Math.floor(this.events.cut * (0.3 + this.#random() * 0.4))
    await this.#refusedAs(['TRIM_REFUSED'], () =>
      this.server.post('/v1/lake/trim', { stream, to, promote: true }),
    )
  }

  /** One now, whatever the schedule says. */
  async #batch(): Promise<void> {
    const lambdas = [...this.#runs].filter(([, { kind }]) => kind === 'lambda').map(([view]) => view)
    const view = lambdas[Math.floor(this.#random() * lambdas.length)]
    if (view === undefined) return
    await this.#tried(() =>
      this.#refusedAs(['BATCH_RUNNING', 'BATCH_NOT_LAMBDA'], () =>
        this.server.post(`/v1/views/${view}/batches`, { wait: true }),
      ),
    )
  }

  async #killEngine(): Promise<void> {
    await this.#tried(async () => {
      const { engine } = await this.server.get<{ engine: { pid: number | null } }>('/v1/status')
      if (engine.pid !== null) process.kill(engine.pid, 'SIGKILL')
    })
  }

  /** Law 8: all slices of a version but bases. */
  async #loseSlices(): Promise<void> {
    await this.server.kill()
    for (const path of this.#slicesOfOne()) rmSync(path, { force: true })
  }

  async #damageSlice(): Promise<void> {
    await this.server.kill()
    const [path] = this.#slicesOfOne()
    if (path === undefined) return
    const bytes = readFileSync(path)
    const place = Math.floor(this.#random() * bytes.length)
    bytes.writeUInt8(bytes.readUInt8(place) ^ 0x20, place)
    writeFileSync(path, bytes)
  }

  #slicesOfOne(): readonly string[] {
    const versions = [...this.#definitions.keys()]
    const [view = '', version = ''] = (versions[Math.floor(this.#random() * versions.length)] ?? '').split(
      '@',
    )
    return this.#catalog(
      'SELECT path FROM slices WHERE view = ? AND version = ? AND base = 0',
      view,
      version,
    ).map(({ path }) => join(this.server.dataDir, 'slices', view, String(path).split('/').at(-1) ?? ''))
  }

  /** Events that only a newer schema can say. */
  async #newerFields(): Promise<void> {
    const level = this.#level
    await this.events.send('orders', 20, () => this.#up(), { tip: level >= 1, land: level >= 2 })
  }

  // ---- what runs beside

  async #sendAlways(): Promise<void> {
    while (this.#running) {
      await sleep(40 + this.#random() * 120)
      if (this.#quiet) continue
      const stream = this.#random() < 0.75 ? 'orders' : 'visits'
      await this.#busy(() => this.events.send(stream, 1 + Math.floor(this.#random() * 12), () => this.#up()))
    }
  }

  /** Statements over two views, all the while: kept, and checked after the step. */
  async #askAlways(): Promise<void> {
    while (this.#running) {
      await sleep(100 + this.#random() * 200)
      if (this.#quiet) continue
      await this.#busy(async () => {
        const one = await this.#tried(() => this.#ask('/v1/sql', { sql: BOTH }))
        if (one !== undefined) this.#statements.push(one)
      })
    }
  }

  #inFlight = 0
  async #busy(task: () => Promise<void>): Promise<void> {
    this.#inFlight++
    try {
      await task()
    } finally {
      this.#inFlight--
    }
  }

  /** Does it, or starts the server again where it was killed on the way. */
  async #tried<T>(task: () => Promise<T>): Promise<T | undefined> {
    try {
      return await task()
    } catch (error) {
      if (!(error instanceof ServerGone)) throw error
      await this.#up()
      return undefined
    }
  }

  /** Resolves when a server runs. */
  async #up(): Promise<void> {
    while (!this.server.alive || this.#restarting !== undefined) {
      this.#restarting ??= this.server
        .start(projectDef(this.server.folder, firstProject), options)
        .finally(() => {
          this.#restarting = undefined
        })
      await this.#restarting
    }
  }

  // ---- after a step

  /** Waits until no deploy goes on, passes or ends one that waits for a word, and takes over what answers now. */
  async #settle(): Promise<void> {
    const began = performance.now()
    for (;;) {
      await this.#up()
      const done = await this.#tried(async () => {
        const list = await this.#deploys()
        const last = list.at(-1)
        for (const info of list) this.#take(info)
        if (last === undefined) return true
        if (last.state === 'paused') await this.#steer(last.id, 'resume')
        else if (last.state === 'refused') {
          assert.ok(last.checks.some(({ verdict }) => verdict === 'red'))
          await this.#steer(last.id, this.#random() < 0.5 ? 'accept' : 'cancel')
        } else if (!open.includes(last.state)) return true
        return false
      })
      if (done === true) return
      assert.ok(performance.now() - began < HANG_MS, `a deploy goes no further:\n${this.server.talk}`)
      await sleep(100)
    }
  }

  async #deploys(): Promise<readonly DeployInfo[]> {
    return (await this.server.get<{ deploys: readonly DeployInfo[] }>('/v1/deploys')).deploys
  }

  readonly #states = new Map<number, string>()
  readonly #noted = new Set<number>()

  #take(info: DeployInfo): void {
    if (!this.#noted.has(info.id)) this.#note(this.#deployed, info)
    const before = this.#states.get(info.id)
    this.#states.set(info.id, info.state)
    if (info.state === before) return
    if (info.state === 'live') this.#moved(info)
    if (info.state === 'rolled_back' && before !== undefined) this.#rolledBack(info)
    if (info.state === 'rolled_back' && before === undefined) {
      this.#moved(info)
      this.#rolledBack(info)
    }
    if (info.state === 'failed') this.#checkFailure(info)
    if (info.state === 'live' || info.state === 'refused' || info.state === 'shadow') this.#checkCuts(info)
  }

  /** Law 9: two versions are one exactly when their definitions are. */
  #note(project: ShopProject, info: DeployInfo): void {
    this.#noted.add(info.id)
    this.#level = project.level
    this.#refunds = project.refunds
    for (const { view, to } of info.views) {
      if (to === undefined) continue
      const start = this.#startOf(view, to)
      const key = `${definitionKey(project, view)} from ${start}`
      const known = this.#versionOf.get(key)
      if (known !== undefined) assert.equal(to, known, `the same definition is the same version: ${key}`)
      const other = this.#definitions.get(`${view}@${to}`)
      if (known === undefined) assert.equal(other, undefined, `another definition is another version: ${key}`)
      this.#versionOf.set(key, to)
      this.#definitions.set(`${view}@${to}`, { view, sql: viewSql(project, view), ...project.views[view]! })
    }
    // A view that is not part of the deploy is the same as before.
    for (const view of Object.keys(project.views)) {
      if (info.views.some((one) => one.view === view)) continue
      const served = this.#serving.get(view) ?? ''
      const key = `${definitionKey(project, view)} from ${this.#startOf(view, served)}`
      assert.equal(served, this.#versionOf.get(key), key)
    }
  }

  #moved({ views }: DeployInfo): void {
    for (const { view, to, run } of views) {
      if (to === undefined) this.#serving.delete(view)
      else this.#serving.set(view, to)
      if (run !== undefined) this.#runs.set(view, run.to)
    }
    this.#tables.push(new Map(this.#serving))
  }

  #rolledBack({ views }: DeployInfo): void {
    for (const { view, from, run } of views) {
      if (from === undefined) this.#serving.delete(view)
      else this.#serving.set(view, from)
      if (run !== undefined) this.#runs.set(view, run.from)
    }
    this.#tables.push(new Map(this.#serving))
  }

  /** Law 7. */
  #checkCuts({ id, views, checks, comparedAt }: DeployInfo): void {
    for (const { view, compare, run } of views) {
      if (compare === undefined) continue
      // A first batch has a cut of its own, at which it is held against what was served.
      if (run?.proof === 'batch') assert.ok(compare.cut <= (comparedAt ?? 0), `deploy ${id}, view ${view}`)
      else assert.equal(compare.cut, comparedAt, `deploy ${id}, view ${view}`)
      if (run === undefined || run.proof === 'none') continue
      const { changed, added, removed } = compare
      assert.deepEqual(
        [changed, added, removed],
        [0, 0, 0],
        `deploy ${id}: what ${view} serves is what the log gives`,
      )
    }
    for (const { cut, name } of checks) assert.equal(cut, comparedAt, `deploy ${id}, check ${name}`)
  }

  #checkFailure({ id, error, reason }: DeployInfo): void {
    const allowed = ['HISTORY_TRIMMED']
    assert.ok(error !== undefined && allowed.includes(error.code), `deploy ${id} failed: ${reason}`)
  }

  async #check(whole = true): Promise<void> {
    this.#quiet = true
    try {
      while (this.#inFlight > 0) await sleep(5)
      if (this.#failed !== undefined) throw this.#failed
      if (this.#refunds && this.#serving.has('refunded'))
        await this.events.send('refunds', 3, () => this.#up())
      await this.#up()
      for (const [view, version] of this.#serving) await this.#checkView(view, version)
      await this.#checkStatements()
      if (this.#moves) await this.#checkBatches()
      if (whole) await this.#checkPast()
      await this.#checkConservation()
    } finally {
      this.#quiet = false
    }
  }

  /** Views run as deploys and rollbacks said; T only grows; a batch gives what was served at its T. */
  async #checkBatches(): Promise<void> {
    const ways = 'SELECT view, run, run_options FROM refold.views ORDER BY view'
    const { answer } = await this.#ask('/v1/sql', { sql: ways })
    for (const { view, run, run_options } of answer.rows) {
      if (!this.#serving.has(String(view))) continue
      const { kind, ...options } = this.#runs.get(String(view)) ?? { kind: 'kappa' as const }
      assert.deepEqual([run, run_options], [kind, options], `view ${String(view)}`)
    }
    const published = this.#catalog(
      `SELECT id, view, version, cut, divergence, reason, state FROM batches ORDER BY id`,
    )
    this.batches = published.filter(({ state }) => state === 'published').length
    const reached = new Map<string, number>()
    for (const { id, view, version, cut, divergence, reason, state } of published) {
      const known = ['running', 'published', 'skipped', 'failed']
      assert.ok(known.includes(String(state)), `batch ${String(id)}: ${String(state)} ${String(reason)}`)
      if (state !== 'published') continue
      const key = `${String(view)}@${String(version)}`
      assert.ok(Number(cut) >= (reached.get(key) ?? 0), `batch ${String(id)}: T of ${key} goes back`)
      reached.set(key, Number(cut))
      // Events that were held until then are what such a batch adds.
      if (viewKinds[String(view)]?.holds) continue
      assert.ok(
        divergence === null || divergence === 0,
        `batch ${String(id)} of ${key}: divergence ${divergence}`,
      )
    }
  }

  /** Law 1. */
  async #checkView(view: string, version: string): Promise<void> {
    const path = `/v1/views/${view}?limit=100000&after=${this.events.cut}&timeout=60000`
    const { taken, lateCut } = await this.#asked(path, view, version)
    assert.equal(taken.answer.version, version, `view ${view} answers from what was deployed`)
    await this.#assertRows(taken, view, version, lateCut)
    this.#taken.push(taken)
  }

  /** Laws 5 and 4, in what status says. */
  async #checkConservation(): Promise<void> {
    const { conservation } = await this.server.get<{ conservation: Record<string, number | string>[] }>(
      '/v1/status',
    )
    for (const row of conservation) {
      const { stream, view, received, accepted, duplicate, rejected, folded, skipped, pending } = row
      const n = (value: unknown) => Number(value)
      assert.equal(n(received), n(accepted) + n(duplicate) + n(rejected), JSON.stringify(row))
      assert.equal(n(accepted), this.events.accepted(stream as StreamName), JSON.stringify(row))
      const version = this.#serving.get(String(view)) ?? ''
      // A stream that no view reads has a row of its own.
      if (view === null || this.#startOf(String(view), version) > 0) continue
      assert.equal(n(accepted), n(folded) + n(row.held) + n(skipped) + n(pending), JSON.stringify(row))
    }
  }

  /** Law 6: one cut, and versions that answered together. */
  async #checkStatements(): Promise<void> {
    const statements = this.#statements.splice(0)
    for (const taken of statements) {
      const { versions = {} } = taken.answer
      const together = this.#tables.some((table) =>
        Object.entries(versions).every(([view, version]) => table.get(view) === version),
      )
      assert.ok(together, `versions that never answered together: ${JSON.stringify(versions)}`)
    }
    const some = statements.filter(() => this.#random() < 3 / Math.max(3, statements.length))
    for (const taken of some) await this.#assertStatement(taken)
    this.#taken.push(...some)
  }

  async #assertStatement({ answer }: Taken): Promise<void> {
    const { versions = {}, cut, rows } = answer
    const count = async (view: string, what: string): Promise<string | null> => {
      const version = versions[view] ?? ''
      const { sql } = this.#definitions.get(`${view}@${version}`)!
      const from = this.#startOf(view, version)
      const [row] = await this.events.rows('orders', `SELECT ${what} FROM (${sql})`, from, cut)
      return row?.[0] ?? null
    }
    const expected = [await count('totals', 'max(n)'), await count('by_user', 'sum(n)::BIGINT')]
    const [row = {}] = rows
    assert.deepEqual(
      [row['totals'], row['users']].map((cell) => (cell === null ? null : String(cell))),
      expected,
    )
  }

  async #checkPast(): Promise<void> {
    const views = [...this.#serving]
    const [view, version] = views[Math.floor(this.#random() * views.length)]!
    const start = this.#startOf(view, version)
    const cut = start + Math.floor(this.#random() * (this.events.cut - start))
    await this.#unlessTrimmed(cut, async () => {
      const path = `/v1/views/${view}?limit=100000&as_of=${cut}`
      const { taken, lateCut } = await this.#asked(path, view, version, cut)
      assert.equal(taken.answer.version, version)
      await this.#assertRows(taken, view, version, lateCut)
    })
    for (let again = 0; again < 3; again++) {
      const taken = this.#taken[Math.floor(this.#random() * this.#taken.length)]
      if (taken !== undefined) await this.#unlessTrimmed(taken.answer.cut, () => this.#assertAgain(taken))
    }
    const pinned = [...this.#definitions.keys()][Math.floor(this.#random() * this.#definitions.size)]!
    const [name = '', number = ''] = pinned.split('@')
    if (!this.#serving.has(name)) return
    await this.#unlessTrimmed(0, async () => {
      const path = `/v1/views/${name}?limit=100000&version=${number}&timeout=60000`
      const { taken, lateCut } = await this.#asked(path, name, number)
      await this.#assertRows(taken, name, number, lateCut)
    })
  }

  async #assertAgain({ path, body, answer, bytes }: Taken): Promise<void> {
    const moment = `as_reported_at=${encodeURIComponent(answer.at)}`
    const again =
      body === undefined
        ? await this.#ask(path.replace(/&after=\d+/, '').concat(`&${moment}`))
        : await this.#ask(path, { ...(body as object), as_reported_at: answer.at })
    assert.equal(again.answer.cut, answer.cut, `${path} at ${answer.at}`)
    assert.equal(again.bytes, bytes, `${path} as reported at ${answer.at}, cut ${answer.cut}`)
  }

  /** Where events are gone, an error that says so is right too. */
  async #unlessTrimmed(cut: number, ask: () => Promise<void>): Promise<void> {
    const trims = this.#catalog('SELECT stream, cut FROM trims')
    this.#trimmed = Object.fromEntries(trims.map((row) => [String(row['stream']), Number(row['cut'])]))
    const isTrimmed = Object.values(this.#trimmed).some((to) => cut < (to ?? 0))
    try {
      await ask()
    } catch (error) {
      if (!(isTrimmed && error instanceof Refused && error.code === 'HISTORY_TRIMMED')) throw error
    }
  }

  /** An answer, and T on which the version stood while it was asked for: batches go on in the meantime. */
  async #asked(
    path: string,
    view: string,
    version: string,
    cut?: number,
  ): Promise<{ readonly taken: Taken; readonly lateCut: number }> {
    if (!viewKinds[view]!.holds) return { taken: await this.#ask(path), lateCut: 0 }
    for (;;) {
      const lateCut = this.#lateCut(view, version, cut)
      const taken = await this.#ask(path)
      const read = cut === undefined ? (taken.answer.batches?.[view]?.cut ?? lateCut) : lateCut
      if (this.#lateCut(view, version, cut) === lateCut && read === lateCut) return { taken, lateCut }
    }
  }

  #lateCut(view: string, version: string, cut?: number): number {
    const [row] = this.#catalog(
      `SELECT late_from, late_cut, (SELECT max(cut) FROM batches b WHERE b.view = v.view AND b.version = v.version
         AND state = 'published' AND cut <= ${cut ?? 0}) AS batch FROM versions v WHERE view = ? AND version = ?`,
      view,
      version,
    )
    if (cut === undefined) return Number(row?.['late_cut'] ?? 0)
    return Math.max(Math.min(cut, Number(row?.['late_from'] ?? 0)), Number(row?.['batch'] ?? 0))
  }

  async #assertRows({ answer, path }: Taken, view: string, version: string, lateCut: number): Promise<void> {
    const definition = this.#definitions.get(`${view}@${version}`)
    assert.ok(definition !== undefined, `version ${version} of ${view} is known`)
    const stream = viewKinds[view]!.stream
    const from = this.#startOf(view, version)
    const late = { cut: lateCut, latenessMs: LATENESS_MS }
    const expected = viewKinds[view]!.holds
      ? await this.events.heldRows(definition.sql, from, answer.cut, late)
      : await this.events.rows(stream, definition.sql, from, answer.cut)
    const actual = answer.rows.map((row) => cellsOf(row, answer.columns))
    const arrange = (rows: readonly Cell[][]) => (view === 'top' ? rows : sorted(rows))
    assert.deepEqual(
      arrange(actual),
      arrange(expected),
      `${path} at cut ${answer.cut}, version ${version.slice(0, 12)}, begun at ${from}, T ${lateCut}: ${definition.sql}`,
    )
  }

  async checkFollowers(): Promise<void> {
    this.#quiet = true
    while (this.#inFlight > 0) await sleep(5)
    for (const follower of this.#followers) {
      const held = await follower.caughtUp(this.events.cut)
      const answer = await this.#ask(`/v1/views/${follower.view}?limit=100000&after=${this.events.cut}`)
      const rows = answer.answer.rows.map((row) => JSON.stringify(row)).sort()
      assert.deepEqual(held, rows, `who follows ${follower.view} holds its rows`)
    }
    this.#quiet = false
  }

  async #ask(path: string, body?: unknown): Promise<Taken> {
    const init =
      body === undefined
        ? {}
        : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
    const text = await this.server.text(path, init)
    const answer = JSON.parse(text) as Answer
    return {
      path,
      ...(body === undefined ? {} : { body }),
      answer,
      bytes: text.slice(text.indexOf('"columns":')),
    }
  }

  #startOf(view: string, version: string): number {
    const [row] = this.#catalog(
      'SELECT start_cut FROM versions WHERE view = ? AND version = ?',
      view,
      version,
    )
    return Number(row?.['start_cut'] ?? 0)
  }

  #catalog(sql: string, ...values: string[]): Record<string, unknown>[] {
    const database = new DatabaseSync(join(this.server.dataDir, 'catalog.sqlite'), { readOnly: true })
    try {
      return database.prepare(sql).all(...values)
    } finally {
      database.close()
    }
  }
}
