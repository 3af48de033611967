-- Two databases, each with an owner of its own, made when the server starts on an empty volume.
\getenv mlflow_password MLFLOW_DATABASE_PASSWORD
\getenv optuna_password OPTUNA_DATABASE_PASSWORD

CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE mlflow OWNER mlflow;
REVOKE CONNECT ON DATABASE mlflow FROM PUBLIC;

CREATE ROLE optuna LOGIN PASSWORD :'optuna_password';
CREATE DATABASE optuna OWNER optuna;
REVOKE CONNECT ON DATABASE optuna FROM PUBLIC;
