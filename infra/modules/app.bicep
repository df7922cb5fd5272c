import { endpointType } from 'types.bicep'

@description('Name of the container app.')
@maxLength(32)
param name string
@description('Region.')
param location string
@description('Tags; azd finds the app by azd-service-name.')
param tags object
@description('True: the app is there already, and its image stays.')
param exists bool
@description('Container Apps environment.')
param environmentId string
@description('Registry that the image comes from.')
param registryServer string
@description('User-assigned identity.')
param identityId string
@description('Its client id.')
param identityClientId string
@description('The Azure OpenAI resources.')
param endpoints endpointType[]
@description('Further names of deployments: chat=gpt-5.4-mini,…')
param deploymentAliases string
@description('Client keys, name=key, comma separated; empty: none.')
@secure()
param clientApiKeys string
@description('Limits of clients; empty: none.')
param clientLimits string
@description('Further settings of the balancer, NAME=value with spaces between; empty: none.')
param balancerSettings string
@description('Keys of operators; empty: none.')
@secure()
param operatorKeys string
@description('Tenants whose tokens are accepted, comma separated.')
param entraTenantIds string
@description('Who of them may call; empty: everybody.')
param entraAllowedClients string
@description('Who may read /status and /metrics; empty: nobody by token.')
param entraAllowedOperators string
@description('At least this many replicas.')
@minValue(1)
param minReplicas int
@description('At most this many replicas.')
@minValue(1)
param maxReplicas int

@description('Where Application Insights takes telemetry.')
param connectionString string

// What follows is the same whether the app exists or not: `azd deploy` changes the image and nothing else.
var port = 8080
// Until the first `azd deploy`: it listens on 8080 and answers GET /healthz too, so that the probes below hold for both.
var placeholder = 'mcr.microsoft.com/dotnet/samples:aspnetapp'
// Streams of reasoning models last minutes: they get nearly all of the ten minutes that Container Apps gives at most.
var graceSeconds = 600
var drainSeconds = graceSeconds - 30

// Both parts of NAME=value: Container Apps refuses empty values.
func isPair(word string) bool => indexOf(word, '=') > 0 && indexOf(word, '=') < length(word) - 1

module current 'fetch-image.bicep' = {
  params: { name: name, exists: exists }
}

var backendSettings = flatten(map(
  endpoints,
  (endpoint, i) =>
    concat(
      [
        { name: 'BACKEND_${i + 1}_URL', value: endpoint.url }
        { name: 'BACKEND_${i + 1}_NAME', value: endpoint.name }
        { name: 'BACKEND_${i + 1}_PRIORITY', value: string(endpoint.priority) }
        { name: 'BACKEND_${i + 1}_WEIGHT', value: string(endpoint.weight) }
      ],
      empty(endpoint.deployments) ? [] : [{ name: 'BACKEND_${i + 1}_DEPLOYMENTS', value: endpoint.deployments }]
    )
))

// Container Apps refuses empty secrets and empty values.
var optionalSettings = filter(
  [
    { name: 'CLIENT_LIMITS', value: clientLimits }
    { name: 'ENTRA_ALLOWED_CLIENTS', value: entraAllowedClients }
    { name: 'ENTRA_ALLOWED_OPERATORS', value: entraAllowedOperators }
  ],
  setting => !empty(setting.value)
)
var clientKeySettings = empty(clientApiKeys) ? [] : [{ name: 'CLIENT_API_KEYS', secretRef: 'client-api-keys' }]
var operatorKeySettings = empty(operatorKeys) ? [] : [{ name: 'OPERATOR_KEYS', secretRef: 'operator-keys' }]

var ownSettings = concat(
  [
    { name: 'HOST', value: '0.0.0.0' }
    { name: 'PORT', value: string(port) }
    { name: 'DRAIN_SECONDS', value: string(drainSeconds) }
    { name: 'AZURE_CLIENT_ID', value: identityClientId }
    // For @azure/identity: nothing else is tried.
    { name: 'AZURE_TOKEN_CREDENTIALS', value: 'ManagedIdentityCredential' }
    { name: 'DEPLOYMENT_ALIASES', value: deploymentAliases }
    { name: 'ENTRA_TENANT_ID', value: entraTenantIds }
    { name: 'APPLICATIONINSIGHTS_CONNECTION_STRING', secretRef: 'insights-connection-string' }
    // By the identity: the resource takes nothing without a token.
    { name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING', value: 'Authorization=AAD' }
  ],
  optionalSettings,
  clientKeySettings,
  operatorKeySettings,
  backendSettings
)

// Nothing else may set what is set here, or could be: a variable that came twice would count once, and keys belong into secrets.
var ownNames = concat(
  map(ownSettings, setting => setting.name),
  ['CLIENT_API_KEYS', 'CLIENT_LIMITS', 'ENTRA_ALLOWED_CLIENTS', 'ENTRA_ALLOWED_OPERATORS', 'OPERATOR_KEYS']
)
var words = filter(split(balancerSettings, ' '), word => !empty(word))
var furtherSettings = map(
  words,
  (word, i) =>
    isPair(word) && !contains(ownNames, split(word, '=')[0])
      ? { name: split(word, '=')[0], value: substring(word, indexOf(word, '=') + 1) }
      : fail('BALANCER_SETTINGS: item ${i + 1} must be NAME=value, and no setting that the template makes itself')
)

resource app 'Microsoft.App/containerApps@2025-07-01' = {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    environmentId: environmentId
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      ingress: {
        external: true
        targetPort: port
        transport: 'auto'
        allowInsecure: false
      }
      registries: [{ server: registryServer, identity: identityId }]
      secrets: concat(
        empty(clientApiKeys) ? [] : [{ name: 'client-api-keys', value: clientApiKeys }],
        empty(operatorKeys) ? [] : [{ name: 'operator-keys', value: operatorKeys }],
        [{ name: 'insights-connection-string', value: connectionString }]
      )
    }
    template: {
      terminationGracePeriodSeconds: graceSeconds
      containers: [
        {
          name: 'app'
          image: empty(current.outputs.image) ? placeholder : current.outputs.image
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
          env: concat(ownSettings, furtherSettings)
          // None of them asks a backend: a replica that can answer nothing is still the one to say so.
          probes: [
            {
              type: 'Startup'
              httpGet: { path: '/healthz', port: port }
              initialDelaySeconds: 1
              periodSeconds: 5
              timeoutSeconds: 2
              failureThreshold: 10
            }
            {
              type: 'Liveness'
              httpGet: { path: '/healthz', port: port }
              periodSeconds: 10
              timeoutSeconds: 5
              failureThreshold: 3
            }
            {
              type: 'Readiness'
              httpGet: { path: '/healthz', port: port }
              periodSeconds: 5
              timeoutSeconds: 3
              failureThreshold: 3
            }
          ]
        }
      ]
      scale: {
        minReplicas: minReplicas
        maxReplicas: maxReplicas
        // Each replica learns for itself which resource is throttled, so few busy ones know more than many idle ones.
        rules: [{ name: 'requests', http: { metadata: { concurrentRequests: '100' } } }]
      }
    }
  }
}

@description('Name of the container app.')
output name string = app.name
@description('Its address.')
output url string = 'https://${app.properties.configuration.ingress.fqdn}'
