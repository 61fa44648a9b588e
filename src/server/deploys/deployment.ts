/**
 * Deploys as a part of the running server: what a start puts in place or goes on with, what a cutover changes beside
 * the pointers, and how the project's file differs from what is deployed. State: that difference, and the file.
 */

import { recordStreams } from '../../catalog/streams.ts'
import { type NewVersion, readVersion } from '../../catalog/versions.ts'
import type { ProjectDef } from '../../define/types.ts'
import { defaultDeployOptions } from '../../deploy/deploy-options.ts'
import type { JsonValue, StreamDef } from '../../model/schema.ts'
import type { ServerContext } from '../context.ts'
import { letGo } from '../view-versions.ts'
import type { DeployParts } from './deploy-parts.ts'
import type { Deploy } from './deploy-record.ts'
import { isDeployed, newestDefinitions, readStreams, withDefinitions } from './deployed-project.ts'
import { Deploys } from './deploys.ts'
import { deployAtOnce } from './first-deploy.ts'
import { planDeploy } from './plan-deploy.ts'
import { WarmVersions } from './warm-versions.ts'

/** The project that runs, which a deploy changes. */
export interface ProjectHolder {
  get(): ProjectDef
  set(project: ProjectDef): void
}

export class Deployment {
  readonly deploys: Deploys
  readonly #context: ServerContext
  readonly #project: ProjectHolder
  readonly #warm: WarmVersions
  /** The project's file as it was last seen: at the start, or when somebody deployed it. */
  #file: ProjectDef | undefined
  #fileOfDeploy = 0
  #differs: JsonValue | undefined

  constructor(context: ServerContext, project: ProjectHolder, runBatch: DeployParts['runBatch']) {
    this.#context = context
    this.#project = project
    const parts: DeployParts = {
      context,
      runBatch,
      takeStreams: ({ streams }) => this.#takeStreams([...streams, ...readStreams(context.catalog, streams)]),
      afterCutover: (deploy) => this.#afterCutover(deploy),
      letGo: async (versions) => {
        for (const { view, version } of versions) await letGo(context, view, version)
      },
    }
    this.deploys = new Deploys(parts)
    this.#warm = new WarmVersions(parts, this.deploys)
  }

  /** What `refold deploy` of the project's file would change; undefined: nothing, or there is no such file. */
  get differs(): JsonValue | undefined {
    return this.#differs
  }

  /** Before the engine starts, with a folder on which nothing is deployed. */
  putInPlace(views: readonly NewVersion[]): void {
    if (this.#context.log.state().cut.commit > 0) return
    deployAtOnce(this.#context, this.#project.get(), views, { who: 'refold start' })
  }

  /** With a running engine: goes on with an open deploy, or begins the first, and looks where the file differs. */
  async goOn(file: ProjectDef | undefined): Promise<void> {
    this.deploys.resumeOpen()
    this.#file = file
    if (file !== undefined) return await this.#compareFile()
    if (isDeployed(this.#context.catalog)) return
    const project = this.#project.get()
    await this.deploys.deploy(project, defaultDeployOptions(project), { who: 'refold start' })
  }

  /** Called by a timer. Never waits. */
  check(): void {
    this.#warm.check()
  }

  async #compareFile(): Promise<void> {
    if (this.#file === undefined) return
    try {
      const { empty, streams, views, checks = [] } = await planDeploy(this.#context, this.#file)
      this.#differs = empty
        ? undefined
        : {
            streams: streams.map(({ stream }) => stream),
            views: views.map(({ view }) => view),
            ...(checks.length === 0 ? {} : { checks: checks.map(({ check }) => check) }),
          }
    } catch (error) {
      this.#differs = { problem: error instanceof Error ? error.message : String(error) }
    }
    if (this.#differs === undefined || this.#context.closing()) return
    this.#context.logger.info('the project differs from what is deployed; `refold deploy` carries it out', {
      differs: JSON.stringify(this.#differs),
    })
  }

  async #takeStreams(streams: readonly StreamDef[]): Promise<void> {
    const { log, catalog, supervisor } = this.#context
    const project = this.#project.get()
    if (JSON.stringify(streams) === JSON.stringify(project.streams)) return
    recordStreams(catalog, streams, log.state().cut.commit)
    log.setStreams(streams)
    this.#project.set({ ...project, streams })
    // A stream that goes changes nothing for the engine: versions that read it keep it there.
    const known = new Set(project.streams.map((stream) => JSON.stringify(stream)))
    if (streams.some((stream) => !known.has(JSON.stringify(stream)))) {
      await supervisor.restart('the streams changed')
    }
  }

  async #afterCutover(deploy: Deploy): Promise<void> {
    const { catalog } = this.#context
    this.#project.set(withDefinitions(this.#project.get(), catalog))
    await this.#takeStreams(newestDefinitions(catalog)?.streams ?? this.#project.get().streams)
    for (const { view, from, to } of deploy.outcome.views ?? []) {
      for (const version of [from, to]) {
        if (version === undefined || readVersion(catalog, view, version)?.state !== 'retired') continue
        await letGo(this.#context, view, version)
      }
    }
    await this.#warm.endDue()
    this.#context.crash('deploy.live')
    // A rollback of an earlier deploy says nothing newer about the file.
    if (deploy.id > this.#fileOfDeploy) {
      this.#fileOfDeploy = deploy.id
      this.#file = deploy.request.project
    }
    void this.#compareFile()
  }
}
