import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type * as grpc from '@grpc/grpc-js';
import type * as protoLoader from '@grpc/proto-loader';
import type * as reflection from '@grpc/reflection';

const VERSIONS = ['v1', 'v1alpha'] as const;
const METHOD = 'ServerReflectionInfo';

type Stream = grpc.ServerDuplexStream<object, object>;
interface Service {
  readonly method: grpc.MethodDefinition<object, object>;
  readonly handle: (call: Stream) => void;
}

/**
 * Operators may ask a running agent what it speaks (`grpcurl … list`), with a certificate like any other. Hardly one
 * does: what answers is loaded when it is asked, and not with every start of an agent.
 */
export function addReflection(server: Pick<grpc.Server, 'addService'>): void {
  const folder = protoFolder();
  if (folder === null) return;
  let loaded: ReadonlyMap<string, Service> | null = null;
  for (const version of VERSIONS) {
    const path = `/grpc.reflection.${version}.ServerReflection/${METHOD}`;
    const service = (): Service => {
      loaded ??= loadServices(folder);
      const found = loaded.get(path);
      if (found === undefined) throw new Error(`@grpc/reflection serves no ${path}`);
      return found;
    };
    const method: grpc.MethodDefinition<object, object> = {
      path,
      requestStream: true,
      responseStream: true,
      requestSerialize: (value) => service().method.requestSerialize(value),
      requestDeserialize: (bytes) => service().method.requestDeserialize(bytes),
      responseSerialize: (value) => service().method.responseSerialize(value),
      responseDeserialize: (bytes) => service().method.responseDeserialize(bytes),
    };
    server.addService({ [METHOD]: method }, { [METHOD]: (call: Stream) => service().handle(call) });
  }
}

/** By path. */
function loadServices(folder: string): ReadonlyMap<string, Service> {
  const require = createRequire(import.meta.url);
  const { loadSync } = require('@grpc/proto-loader') as typeof protoLoader;
  const { ReflectionService } = require('@grpc/reflection') as typeof reflection;
  const services = new Map<string, Service>();
  const collecting: Pick<grpc.Server, 'addService'> = {
    addService(definition, handlers) {
      const [method, handle] = [definition[METHOD], handlers[METHOD]];
      if (method !== undefined && handle !== undefined)
        services.set(method.path, { method, handle: handle as Service['handle'] });
    },
  };
  const definition = loadSync('agent.proto', { includeDirs: [folder] });
  new ReflectionService(definition).addToServer(collecting);
  return services;
}

/** Beside the sources, or beside the compiled package; null where it was taken away. */
function protoFolder(): string | null {
  const here = dirname(fileURLToPath(import.meta.url));
  const folders = ['../../proto', '../../../proto'].map((path) => join(here, path));
  return folders.find((path) => existsSync(join(path, 'agent.proto'))) ?? null;
}
