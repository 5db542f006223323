# One image for the api, the control worker and the step worker; the command chooses.
FROM node:20.20.0-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY . .
RUN node scripts/build.mjs && npm prune --omit=dev --ignore-scripts

FROM node:20.20.0-bookworm-slim
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
# the api's syncs, hashes and files share these threads, and node's four make them queue
ENV UV_THREADPOOL_SIZE=8
USER node
