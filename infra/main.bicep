targetScope = 'subscription'

import {
  apimSkuType
  backendType
  deploymentType
  endpointType
  loadBalancerType
  modelSkuType
  openAiUrl
  originOf
  regionOf
} from 'modules/types.bicep'

@description('Name of the azd environment. Every name comes from it, the subscription and the region.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Region of everything but the Azure OpenAI resources.')
@minLength(1)
param location string

@description('What stands in front: the container app (aca), API Management (apim), or both.')
param loadBalancer loadBalancerType = 'aca'

@description('Size of each chat and embedding deployment: thousand tokens a minute.')
@minValue(1)
param openAiCapacity int = 30

@description('Regions of the Azure OpenAI resources to create, comma separated; one resource each.')
param openAiLocations string = 'eastus2,swedencentral,westus3'

@description('The Azure OpenAI resources one by one, new or brought along, in place of openAiLocations.')
@maxLength(20)
param openAiBackends backendType[] = []

@description('Chat model; its deployments are called the same.')
@minLength(1)
param chatModelName string = 'gpt-5.4-mini'
@description('Version of the chat model.')
@minLength(1)
param chatModelVersion string = '2026-03-17'
@description('Deployment type of the chat model.')
param chatModelSku modelSkuType = 'GlobalStandard'

@description('Embedding model; its deployments are called the same.')
@minLength(1)
param embeddingModelName string = 'text-embedding-3-large'
@description('Version of the embedding model.')
@minLength(1)
param embeddingModelVersion string = '1'
@description('Deployment type of the embedding model.')
param embeddingModelSku modelSkuType = 'GlobalStandard'
@description('Size of each embedding deployment, where it is another than openAiCapacity: thousand tokens a minute.')
@minValue(1)
param embeddingCapacity int = openAiCapacity

@description('Client keys, name=key, comma separated. Empty: only Entra tokens are accepted.')
@secure()
param clientApiKeys string = ''

@description('Limits of clients at the container app, name=50000tpm:300rpm:20concurrent, comma separated.')
param clientLimits string = ''

@description('Further settings of the balancer at the container app, NAME=value, with spaces between.')
param balancerSettings string = ''

@description('Keys for /status and /metrics of the container app, name=key, comma separated.')
@secure()
param operatorKeys string = ''

@description('Tenants whose Entra tokens are accepted, comma separated. Empty: the one this is deployed to.')
param entraTenantIds string = ''

@description('Application and object ids that may call, comma separated. Empty: everybody of the tenant.')
param entraAllowedClients string = ''

@description('Application and object ids that may read /status and /metrics, comma separated. Empty: who deploys this.')
param entraAllowedOperators string = ''

@description('Object id of who deploys this; azd knows it.')
param principalId string = ''

@description('True when the container app is there already; azd knows it.')
param appExists bool = false

@description('At least this many replicas of the container app.')
@minValue(1)
param minReplicas int = 1
@description('At most this many replicas of the container app.')
@minValue(1)
@maxValue(1000)
param maxReplicas int = 10

@description('Address that is told when something is wrong. Empty: no alerts.')
param alertEmail string = ''

@description('Tier of API Management.')
param apimSku apimSkuType = 'BasicV2'
@description('Address that API Management shows as its publisher.')
param apimPublisherEmail string = 'noreply@example.com'

var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }
var useApp = loadBalancer != 'apim'
var useApim = loadBalancer != 'aca'

var locations = split(empty(openAiLocations) ? 'eastus2,swedencentral,westus3' : openAiLocations, ',')
var backends backendType[] = empty(openAiBackends) ? map(locations, region => { location: region }) : openAiBackends
var regions = map(
  backends,
  (backend, i) =>
    backend.?url != null
      ? ''
      : regionOf(backend.?location ?? fail('OPENAI_BACKENDS: item ${i + 1} needs a location or a url'))
)
// The number first, so that the log shows it; the region too, so that another region is another resource and not an error.
var names = map(regions, (region, i) => 'openai${i + 1}-${token}-${region}')
var endpoints endpointType[] = map(backends, (backend, i) => {
  name: 'openai${i + 1}'
  url: originOf(backend.?url ?? openAiUrl(names[i]))
  priority: backend.?priority ?? 1
  weight: backend.?weight ?? 1
  deployments: backend.?deployments ?? ''
})
var deployments deploymentType[][] = map(backends, backend => [
  {
    name: chatModelName
    model: chatModelName
    version: chatModelVersion
    sku: backend.?sku ?? chatModelSku
    capacity: backend.?capacity ?? openAiCapacity
  }
  {
    name: embeddingModelName
    model: embeddingModelName
    version: embeddingModelVersion
    sku: embeddingModelSku
    capacity: embeddingCapacity
  }
])

var tenants = empty(entraTenantIds) ? tenant().tenantId : entraTenantIds
var deployer = empty(principalId) ? '' : 'deployer=${principalId}'

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  scope: group
  params: { name: 'id-${token}', location: location, tags: tags }
}

module monitoring 'modules/monitoring.bicep' = {
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    principalId: identity.outputs.principalId
  }
}

module openAi 'modules/openai.bicep' = [
  for (backend, i) in backends: if (backend.?url == null) {
    name: 'openai${i + 1}'
    scope: group
    params: {
      name: names[i]
      location: regions[i]
      tags: tags
      deployments: deployments[i]
      principalId: identity.outputs.principalId
    }
  }
]

module registry 'modules/registry.bicep' = if (useApp) {
  scope: group
  params: {
    name: 'cr${token}'
    location: location
    tags: tags
    principalId: identity.outputs.principalId
  }
}

module environment 'modules/environment.bicep' = if (useApp) {
  scope: group
  params: {
    name: 'cae-${token}'
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
  }
}

// After the resources and the roles on them, so that the identity's first token already has them.
module app 'modules/app.bicep' = if (useApp) {
  scope: group
  params: {
    name: 'ca-${token}'
    location: location
    tags: union(tags, { 'azd-service-name': 'app' })
    exists: appExists
    environmentId: environment!.outputs.id
    registryServer: registry!.outputs.loginServer
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    endpoints: endpoints
    deploymentAliases: 'chat=${chatModelName},embedding=${embeddingModelName}'
    clientApiKeys: clientApiKeys
    clientLimits: clientLimits
    balancerSettings: balancerSettings
    operatorKeys: operatorKeys
    entraTenantIds: tenants
    entraAllowedClients: entraAllowedClients
    entraAllowedOperators: empty(entraAllowedOperators) ? deployer : entraAllowedOperators
    minReplicas: minReplicas
    maxReplicas: maxReplicas
    connectionString: monitoring.outputs.connectionString
  }
  dependsOn: [openAi]
}

module apim 'modules/apim.bicep' = if (useApim) {
  scope: group
  params: {
    name: 'apim-${token}'
    location: location
    tags: tags
    sku: apimSku
    publisherEmail: apimPublisherEmail
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    endpoints: endpoints
    chatDeployment: chatModelName
    embeddingDeployment: embeddingModelName
    clientApiKeys: clientApiKeys
    entraTenantIds: tenants
    entraAllowedClients: entraAllowedClients
    insightsId: monitoring.outputs.insightsId
    connectionString: monitoring.outputs.connectionString
  }
  dependsOn: [openAi]
}

// What they read is the container app's: API Management tells of itself in tables of its own.
module workbook 'modules/workbook.bicep' = if (useApp) {
  scope: group
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
  }
}

module alerts 'modules/alerts.bicep' = if (useApp && !empty(alertEmail)) {
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    email: alertEmail
  }
}

// azd writes these into its environment. What is not deployed is empty and not left out: an old value would stay.
@description('Region of everything but the Azure OpenAI resources.')
output AZURE_LOCATION string = location
@description('Tenant of the deployment.')
output AZURE_TENANT_ID string = tenant().tenantId
@description('Resource group.')
output AZURE_RESOURCE_GROUP string = group.name
@description('Registry that azd builds the image in.')
output AZURE_CONTAINER_REGISTRY_ENDPOINT string = useApp ? registry!.outputs.loginServer : ''
@description('Name of the container app.')
output AZURE_CONTAINER_APP_NAME string = useApp ? app!.outputs.name : ''
@description('Address of the container app.')
output CONTAINER_APP_URL string = useApp ? app!.outputs.url : ''
@description('Address of API Management.')
output APIM_GATEWAY_URL string = useApim ? apim!.outputs.gatewayUrl : ''
@description('Object id of the identity that needs the role Cognitive Services OpenAI User on resources that are brought along.')
output AZURE_IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId
@description('Addresses of the Azure OpenAI resources, as their fronts ask them.')
output AZURE_OPENAI_ENDPOINTS array = map(endpoints, endpoint => endpoint.url)
@description('Name of the chat deployments.')
output AZURE_OPENAI_CHAT_DEPLOYMENT string = chatModelName
@description('Name of the embedding deployments.')
output AZURE_OPENAI_EMBEDDING_DEPLOYMENT string = embeddingModelName
@description('Log Analytics workspace with the logs.')
output AZURE_LOG_ANALYTICS_WORKSPACE_NAME string = monitoring.outputs.workspaceName
